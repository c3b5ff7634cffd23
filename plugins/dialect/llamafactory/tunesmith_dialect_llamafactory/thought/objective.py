"""What is learned: stages, losses, rewards."""

from __future__ import annotations

from typing import Any

from tunesmith.errors import TunesmithError, choices
from tunesmith.traits import StageTraits, traits_of

from tunesmith_dialect_llamafactory.draft import Draft, listed
from tunesmith_dialect_llamafactory.installed import plugin

_STAGES = ("pt", "sft", "rm", "ppo", "dpo", "kto")
_LOSSES = ("sigmoid", "hinge", "ipo", "robust", "exo_pair", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down")


def stage(key: str, value: Any, draft: Draft) -> None:
    if value in ("orpo", "simpo"):
        draft.note(key, "translated", f"LLaMA-Factory calls it stage dpo with pref_loss {value}.")
    elif value not in _STAGES:
        draft.refuse(key, "there is no such stage.", choices(str(value), _STAGES))
        return
    if draft.command in ("train", "eval"):
        draft.put("stage.name", draft.objective, key)
    if draft.command == "train" and _compares_answers(draft.objective):
        draft.put("stage.longer", "cut_prompt", "cutoff_len")
        draft.say("cutoff_len", "what is over it loses of its prompt, so that answers stay whole as far as they fit.")
    if draft.command == "train" and draft.objective == "ppo":
        _do_as_trl(key, draft)
    if value == "pt" and draft.get("packing") is not False:
        draft.say(key, "documents in one row do not see each other; as LLaMA-Factory does it: isolate_documents=false.")


def _do_as_trl(key: str, draft: Draft) -> None:
    """What LLaMA-Factory's PPO does without being told, by its own defaults and those of TRL's PPOConfig."""
    draft.put("stage.init_kl_coef", 0.2, key)
    draft.put("stage.value_learning_rate", draft.get("learning_rate"), "learning_rate")
    if draft.get("do_sample") is False:
        draft.refuse("do_sample", "PPO learns from answers that are drawn.", "do_sample: true")
    for option in ("temperature", "max_new_tokens"):
        draft.put(f"stage.{option}", draft.get(option), option)
    draft.say(key, "answers are drawn from all tokens, as they are learned from: top_p and top_k do not count in it.")


def _compares_answers(stage: str) -> bool:
    """Whether a stage's rows have answers beside their prompt, which LLaMA-Factory then shortens first."""
    try:
        traits: StageTraits = traits_of("stage", plugin("stage", stage))
    except TunesmithError:  # that there is no such stage is said elsewhere
        return False
    return traits.reads[:1] == ("prompt",) and len(traits.reads) > 1


def cutoff_len(key: str, value: Any, draft: Draft) -> None:
    draft.put("stage.max_prompt_length" if draft.objective == "ppo" else "stage.max_length", value, key)


def mask_history(key: str, value: Any, draft: Draft) -> None:
    draft.put("stage.last_turn_only", value, key)
    if value:
        reason = "a conversation over cutoff_len loses its end, and with it what is learned."
        draft.note(key, "translated", reason)


def packing(key: str, value: Any, draft: Draft) -> None:
    if draft.objective in ("pretrain", "sft"):
        draft.put("stage.packing", value, key)
        if value and draft.objective == "sft" and not draft.get("neat_packing"):
            draft.note(key, "translated", "examples in one row do not see each other, as with neat_packing.")
    elif value:
        draft.refuse(key, f"examples of stage {draft.get('stage')} are not packed.", "leave it out")


def neat_packing(key: str, value: Any, draft: Draft) -> None:
    if value and draft.objective in ("pretrain", "sft"):
        draft.put("stage.packing", True, key)
    elif value:
        draft.refuse(key, f"examples of stage {draft.get('stage')} are not packed.", "leave it out")


def pref_loss(key: str, value: Any, draft: Draft) -> None:
    if value in ("orpo", "simpo"):
        draft.put("stage.name", value, key)
    elif value in _LOSSES:
        draft.put("stage.loss", value, key)
    elif value == "kto_pair":
        draft.refuse(key, "KTO of pairs is none of ours.", "stage: kto, or pref_loss: apo_zero")
    else:
        draft.refuse(key, "there is no such loss.", choices(str(value), (*_LOSSES, "orpo", "simpo")))


def pref_ftx(key: str, value: Any, draft: Draft) -> None:
    if draft.objective == "dpo":
        draft.put("stage.rpo_alpha", value, key)
    elif value:
        draft.put("stage.sft_alpha", 1 + value if draft.objective == "orpo" else value, key)
        if draft.objective == "kto":
            reason = "each desirable answer counts alike; LLaMA-Factory weighs them by how few a batch has of them."
            draft.note(key, "translated", reason)


def pref_bco_weight(key: str, value: Any, draft: Draft) -> None:
    if draft.objective == "dpo":
        draft.put("stage.bco_weight", value, key)
    elif value:
        draft.note(key, "dropped", f"{draft.objective} has no reference; LLaMA-Factory leaves it out, too.")


def ref_model(key: str, value: Any, draft: Draft) -> None:
    option = "reference" if key == "ref_model" else "reference_adapter"
    if draft.get("use_asft_loss"):
        draft.put(f"loss.{option}", value, key)
    elif draft.objective in ("dpo", "kto", "ppo"):
        draft.put(f"stage.{option}", value, key)
    else:
        draft.note(key, "dropped", f"stage {draft.objective} compares with no other model.")


def _loss(name: str, key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("loss.name", name, key)


def use_dft_loss(key: str, value: Any, draft: Draft) -> None:
    _loss("dft", key, value, draft)


def use_asft_loss(key: str, value: Any, draft: Draft) -> None:
    _loss("asft", key, value, draft)


def use_eaft_loss(key: str, value: Any, draft: Draft) -> None:
    _loss("eaft", key, value, draft)


def reward_model(key: str, value: Any, draft: Draft) -> None:
    if len(listed(value)) > 1:
        draft.refuse(key, "one model judges.", "reward_model: one of them")
    elif draft.get("reward_model_type") == "api":
        draft.put("reward.http.url", value, key)
    else:
        draft.put("reward.model.path", value, key)


def ppo_buffer_size(key: str, value: Any, draft: Draft) -> None:
    """An optimizer step of LLaMA-Factory's collects `ppo_buffer_size` batches of answers."""
    each = draft.get("per_device_train_batch_size")
    source = next(
        (k for k in (key, "gradient_accumulation_steps") if k in draft.written), "per_device_train_batch_size"
    )
    draft.put("stage.batch_size", each * draft.get("gradient_accumulation_steps") * value, source)
    draft.put("stage.mini_batch_size", each, "per_device_train_batch_size")
