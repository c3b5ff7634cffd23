"""Secrets are neither shown nor written."""

from tunesmith_library_configuration.secrets import hidden, redacted, without_secrets

SECRETS = {"token": "t", "api_key": "k", "hub_token": "h", "aws_secret_access_key": "a", "db_password": "p"}
PLAIN = {"pad_token": "<pad>", "max_tokens": 5, "tokenizer": "x", "target_tokens": "y", "keys": ["a"], "secret": None}


def test_secrets_are_hidden_at_every_depth():
    config = {"hub": {"hf": {**SECRETS, **PLAIN}}, "data": {"train": [{"token": "t", "path": "a"}]}, "token": "t"}
    shown = redacted(config)
    assert shown["hub"]["hf"] == {**dict.fromkeys(SECRETS, "***"), **PLAIN}
    assert shown["data"]["train"] == [{"token": "***", "path": "a"}] and shown["token"] == "***"
    assert config["token"] == "t", "the configuration itself stays as it is"


def test_secrets_are_left_out():
    config = {"hub": {**SECRETS, **PLAIN}, "data": [{"token": "t", "path": "a"}]}
    assert without_secrets(config) == {"hub": PLAIN, "data": [{"path": "a"}]}


def test_a_password_with_an_at_sign_is_hidden_whole():
    assert hidden("http://u:a@b@host:80/x, me@home") == "http://u@host:80/x, me@home"
