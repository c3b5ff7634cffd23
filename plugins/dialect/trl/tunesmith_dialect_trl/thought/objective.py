"""What is learned: tokens, losses, rewards."""

from __future__ import annotations

from typing import Any

from tunesmith.errors import choices

from tunesmith_dialect_trl.draft import Draft

DPO_LOSSES = {
    loss: loss
    for loss in (
        *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard"),
        *("apo_zero", "apo_down"),
    )
}
"""The losses of DPO that are ours, too."""


def max_length(value: Any, draft: Draft) -> None:
    if value is None:
        draft.refuse("max_length", "examples have a length that they are cut at.", "write max_length: NUMBER")
    else:
        draft.put("stage.max_length", value, "max_length")


def max_prompt_length(value: Any, draft: Draft) -> None:
    """Gone from TRL; ours still leaves out longer prompts where answers are drawn."""
    if draft.trainer in ("grpo", "rloo"):
        draft.put("stage.max_prompt_length", value, "max_prompt_length")
    else:
        draft.note("max_prompt_length", "dropped", "prompt and answer together are cut at max_length.")


def learned_tokens(value: Any, draft: Draft) -> None:
    """TRL learns whole conversations, or the assistant's turns; of a prompt and its completion the completion."""
    if draft.config.get("stage", {}).get("name") == "pretrain" or "dataset_text_field" in draft.written:
        return
    if draft.get("assistant_only_loss"):
        draft.put("stage.train_on_prompt", False, "assistant_only_loss")
    elif draft.get("completion_only_loss") is None:
        draft.put("stage.train_on_prompt", True, "assistant_only_loss")
        draft.say("assistant_only_loss", "not there: whole conversations are learned, as trl does it.")
    else:
        draft.put("stage.train_on_prompt", not draft.get("completion_only_loss"), "completion_only_loss")


def loss_type(value: Any, draft: Draft) -> None:
    if draft.trainer == "sft":
        if value == "dft":
            draft.put("loss", "dft", "loss_type")
        elif value not in ("nll", "chunked_nll"):
            draft.refuse("loss_type", "it is none of ours.", choices(str(value), ["nll", "dft"]))
    elif draft.trainer == "dpo":
        _dpo_losses([value] if isinstance(value, str) else list(value), draft)
    else:
        draft.put("stage.loss" if draft.trainer == "kto" else "stage.loss_type", value, "loss_type")


def _dpo_losses(losses: list[str], draft: Draft) -> None:
    """One loss, or one and the chosen answers' own beside it (`sft`), which is RPO."""
    weights = draft.get("loss_weights") or [1.0] * len(losses)
    by_name = dict(zip(losses, weights, strict=False))
    own = by_name.pop("sft", None)
    if len(weights) != len(losses) or len(by_name) != 1 or next(iter(by_name.values())) != 1:
        draft.refuse("loss_type", "one loss of weight 1 is possible, and sft beside it.", choices("", DPO_LOSSES))
        return
    (name,) = by_name
    if name not in DPO_LOSSES:
        draft.refuse("loss_type", "it is none of ours.", choices(str(name), DPO_LOSSES))
        return
    draft.put("stage.loss", DPO_LOSSES[name], "loss_type")
    if own is not None:
        draft.put("stage.rpo_alpha", own, "loss_weights" if "loss_weights" in draft.written else "loss_type")


def loss_weights(value: Any, draft: Draft) -> None:
    """`loss_type` has taken it along."""


def scale_rewards(value: Any, draft: Draft) -> None:
    said = {True: "group", False: "none", "True": "group", "False": "none"}
    draft.put("stage.scale_rewards", said.get(value, value), "scale_rewards")


_THINK_FORMAT = r"<think>(?!.*<think>)(.*?)</think>.*"


def reward_funcs(value: Any, draft: Draft) -> None:
    for name in value or []:
        if name == "think_format_reward":
            draft.put("reward.format", {"pattern": _THINK_FORMAT}, "reward_funcs")
        else:
            draft.note(
                "reward_funcs",
                "refused",
                f"{name} cannot be had: a function of trl's is called with other arguments than ours.",
                "reward: [rewards.py:FUNCTION], or one of ours: tunesmith plugins show reward",
            )


def reward_model_name_or_path(value: Any, draft: Draft) -> None:
    if value is not None:
        draft.put("reward.model", {"path": value}, "reward_model_name_or_path")


def reward_weights(value: Any, draft: Draft) -> None:
    """In TRL's order: the reward model, then the functions."""
    rewards = [name for name in ("model", "format") if name in draft.config.get("reward", {})]
    if value is None:
        return
    if len(value) != len(rewards):
        draft.refuse("reward_weights", f"there are {len(rewards)} rewards.")
        return
    for name, weight in zip(rewards, value, strict=True):
        draft.put(f"reward.{name}.weight", weight, "reward_weights")
