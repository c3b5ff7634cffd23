"""The registry of known models, the names that other programs give to templates, and the templates of this repository
agree: what a model is trained with is found by each of its names."""

import json
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from tunesmith.traits import traits_of
from tunesmith_library_chat.detection import detect

REGISTRY = Path(__file__).parents[1] / "conf" / "models.yaml"

NAMES_ELSEWHERE = """
    aeva alpaca aquila atom baichuan baichuan2 bailing bailing_v2 belle bluelm breeze chatglm2 chatglm3 chatml
    chatml_de codegeex2 codegeex4 cohere cpm cpm3 cpm4 dbrx deepseek deepseek3 deepseekcoder deepseekr1 default
    dots_ocr empty ernie ernie_nothink ernie_vl exaone falcon falcon_h1 fewshot gemma gemma2 gemma3 gemma3n gemma4
    gemma4n glm4 glm4_5v glm4_7 glm4_moe glm4v glm_ocr glmz1 gpt_oss granite3 granite3_vision granite4 hunyuan
    hunyuan_small hy3 hy_dense_1_8b hy_dense_7b index intern intern2 intern_s1 intern_vl keye_vl kimi_vl lfm2
    lfm2_vl llama2 llama2_zh llama3 llama4 llava llava_next llava_next_llama3 llava_next_mistral llava_next_qwen
    llava_next_video llava_next_video_mistral llava_next_video_yi llava_next_yi marco mimo mimo_v2 mimo_vl minicpm_o
    minicpm_v minicpm_v_4_6 minimax1 minimax2 ministral ministral3 mistral mistral_small mllama moonlight moss_vl
    olmo openchat openchat-3.6 opencoder orion paligemma paligemma_chat phi phi4 phi4_mini phi_small pixtral qwen
    qwen2_audio qwen2_omni qwen2_vl qwen3 qwen3_5 qwen3_5_nothink qwen3_6 qwen3_nothink qwen3_omni
    qwen3_omni_nothink qwen3_vl qwen3_vl_nothink sailor seed_coder seed_oss skywork_o1 smollm smollm2 solar starchat
    telechat telechat2 vicuna video_llava xuanyuan xverse yayi yi yi_vl youtu youtu_vl yuan zephyr ziya
"""
"""What LLaMA-Factory calls its templates, today and in former releases."""

FAMILIES = """
    baichuan-inc/Baichuan2-13B-Chat baichuan2                 THUDM/chatglm3-6b-32k chatglm3
    CohereForAI/c4ai-command-r-v01 cohere                     CohereLabs/c4ai-command-r-08-2024 cohere
    deepseek-ai/deepseek-llm-7b-chat deepseek                 deepseek-ai/deepseek-moe-16b-chat deepseek
    deepseek-ai/deepseek-coder-1.3b-instruct deepseekcoder    deepseek-ai/DeepSeek-V3-0324 deepseek3
    deepseek-ai/DeepSeek-R1 deepseekr1                        deepseek-ai/DeepSeek-R1-Distill-Llama-70B deepseekr1
    deepseek-ai/DeepSeek-V3.1-Terminus deepseek3_1            deepseek-ai/DeepSeek-V3.2 deepseek3_2
    tiiuae/falcon-7b-instruct falcon                          tiiuae/Falcon3-7B-Instruct falcon3
    google/gemma-2b-it gemma                                  google/gemma-2-27b-it gemma
    google/codegemma-1.1-7b-it gemma                          google/shieldgemma-2b gemma
    google/gemma-3-270m-it gemma3                             google/gemma-3-27b-it gemma3
    THUDM/glm-4-9b-chat glm4                                  THUDM/GLM-4-32B-0414 glm4_0414
    THUDM/GLM-4-32B-Base-0414 glm4_0414                       THUDM/GLM-Z1-32B-0414 glmz1
    zai-org/GLM-4.5-Air-FP8 glm4_moe                          zai-org/GLM-4.7 glm4_7
    ibm-granite/granite-3.0-8b-instruct granite3_0            ibm-granite/granite-3.3-8b-instruct granite3
    ibm-granite/granite-4.0-tiny-preview granite3             ibm-granite/granite-4.0-h-small granite4
    tencent/Hunyuan-7B-Instruct hunyuan_7b                    tencent/Hunyuan-4B-Instruct hunyuan_small
    tencent/Hy-MT2-7B-FP8 hunyuan                             tencent/Hy-MT2-30B-A3B hy3_preview
    IndexTeam/Index-1.9B-Chat index                           internlm/internlm2_5-7b-chat intern2
    internlm/internlm2-math-plus-7b intern2                   internlm/internlm3-8b-instruct intern2
    OpenGVLab/InternVL2_5-78B-MPO intern_vl                   OpenGVLab/InternVL3_5-8B intern_vl3
    moonshotai/Kimi-VL-A3B-Thinking-2506 kimi_vl              moonshotai/Kimi-K2-Instruct-0905 kimi_k2
    NousResearch/Llama-2-7b-chat-hf llama2                    unsloth/llama-3-8b-Instruct-bnb-4bit llama3
    meta-llama/Meta-Llama-3.1-8B-Instruct llama3_1            meta-llama/Llama-3.2-3B-Instruct llama3_2
    meta-llama/Llama-3.3-70B-Instruct llama3_3                meta-llama/Llama-3.2-11B-Vision-Instruct mllama
    meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8 llama4  allenai/Llama-3.1-Tulu-3-8B tulu3
    NousResearch/Hermes-3-Llama-3.1-8B hermes                 llava-hf/llava-1.5-13b-hf llava
    llava-hf/llava-v1.6-vicuna-7b-hf llava_next               llava-hf/llava-v1.6-mistral-7b-hf llava_next_mistral
    llava-hf/LLaVA-NeXT-Video-7B-DPO-hf llava_next_video      XiaomiMiMo/MiMo-7B-RL-0530 mimo
    openbmb/MiniCPM-1B-sft-bf16 cpm                           openbmb/MiniCPM3-4B cpm3
    openbmb/MiniCPM-o-2_6 minicpm_o                           openbmb/MiniCPM-V-2_6 minicpm_v
    openbmb/MiniCPM-V-4_5 minicpm_v_4_5                       openbmb/MiniCPM-V-4 minicpm_v
    openbmb/MiniCPM-Llama3-V-2_5 minicpm_v_2_5                MiniMaxAI/MiniMax-M2 minimax2
    mistralai/Ministral-8B-Instruct-2410 ministral            mistralai/Mistral-Nemo-Instruct-2407 ministral
    TheBloke/Mistral-7B-Instruct-v0.2-AWQ mistral_v1          mistralai/Mixtral-8x7B-Instruct-v0.1 mistral_v1
    mistralai/Mistral-7B-Instruct-v0.3 mistral                mistralai/Mixtral-8x22B-Instruct-v0.1 mistral
    mistralai/Mistral-Small-24B-Instruct-2501 mistral_small_3 mistralai/Pixtral-12B-2409 pixtral
    mistralai/Mistral-Small-3.2-24B-Instruct-2506 mistral_small
    fnlp/moss-moon-003-sft moss                               allenai/OLMo-7B-0724-Instruct-hf olmo
    google/paligemma-3b-mix-448 paligemma                     google/paligemma2-3b-mix-224 paligemma
    microsoft/Phi-3-mini-4k-instruct phi3                     microsoft/Phi-3.5-MoE-instruct phi
    microsoft/Phi-3-medium-4k-instruct phi3_medium            microsoft/Phi-3-small-8k-instruct phi_small
    microsoft/phi-4 phi4                                      microsoft/Phi-4-mini-instruct phi4_mini
    Qwen/Qwen-7B-Chat qwen2                                   Qwen/CodeQwen1.5-7B-Chat qwen2
    Qwen/Qwen2-Math-7B-Instruct qwen2                         Qwen/Qwen2.5-Coder-32B-Instruct qwen
    Qwen/Qwen2.5-Math-7B-Instruct qwen2_5_math                Qwen/QwQ-32B qwq
    Qwen/Qwen3-0.6B-FP8 qwen3                                 Qwen/Qwen3-4B-Instruct-2507 qwen3_nothink
    Qwen/Qwen3-30B-A3B-Thinking-2507 qwen3_thinking           Qwen/Qwen3-Next-80B-A3B-Instruct qwen3_nothink
    Qwen/Qwen2-Audio-7B-Instruct qwen2_audio                  Qwen/Qwen2.5-Omni-7B qwen2_omni
    Qwen/Qwen2-VL-7B-Instruct qwen2_vl                        Qwen/Qwen2.5-VL-72B-Instruct-AWQ qwen2_vl
    Qwen/QVQ-72B-Preview qvq                                  Qwen/Qwen3-VL-8B-Thinking qwen3_vl
    ByteDance-Seed/Seed-Coder-8B-Instruct seed_coder          ByteDance-Seed/Seed-OSS-36B-Instruct seed_oss
    Skywork/Skywork-o1-Open-Llama-3.1-8B skywork_o1           bigcode/starcoder2-15b-instruct-v0.1 starcoder2
    Tele-AI/TeleChat2-7B telechat2                            lmsys/vicuna-13b-v1.5-16k vicuna
    tatsu-lab/alpaca-7b-wdiff alpaca                          xverse/XVERSE-13B-Chat xverse
    01-ai/Yi-34B-Chat yi                                      01-ai/Yi-1.5-9B-Chat-16K yi1_5
    01-ai/Yi-VL-6B yi_vl                                      IEITYuan/Yuan2-2B-hf yuan
    openai/gpt-oss-20b gpt_oss                                baidu/ERNIE-4.5-21B-A3B-PT ernie_nothink
    google/gemma-4-E4B-it gemma4                              LiquidAI/LFM2-8B-A1B lfm2
    sail/Sailor-4B-Chat sailor                                sail/Sailor-14B-Chat sailor_14b
    nvidia/Llama-3_3-Nemotron-Super-49B-v1_5 nemotron_super   nvidia/Nemotron-H-8B-Reasoning-128K nemotron_h
    HuggingFaceTB/SmolLM3-3B smollm3                          Qwen/Qwen3.5-9B qwen3_5
    yandex/YandexGPT-5-Lite-8B-instruct yandexgpt5            google/translategemma-4b-it gemma3
    mistralai/Mistral-Large-Instruct-2407 mistral             mistralai/Mistral-Large-Instruct-2411 mistral_large_2411
    nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16 nemotron3      google/t5gemma-2-270m-270m gemma3
    google/t5gemma-2b-2b-ul2-it gemma                         google/txgemma-9b-chat gemma
    deepseek-ai/deepseek-vl-7b-chat deepseek                  deepseek-ai/deepseek-coder-33b-instruct deepseekcoder
    baichuan-inc/Baichuan-M2-32B baichuan_m2                  google/paligemma2-3b-mix-448 paligemma
    HuggingFaceH4/zephyr-7b-beta zephyr                       cognitivecomputations/dolphin-2.9-llama3-8b chatml
    cognitivecomputations/dolphin-2.9.2-qwen2-7b chatml       cognitivecomputations/Dolphin3.0-Llama3.1-8B chatml
    cognitivecomputations/dolphin-2.7-mixtral-8x7b chatml     cognitivecomputations/dolphin-2.6-mistral-7b chatml
"""
"""Models as their publishers and those who convert them spell them, and the template that each was trained with."""

OF_USERS = """
    phi3-my-bot phi3                            phi-3-finance phi3
    Phi-3-mini-4k-instruct-law phi3             phi3.5-mini-legal phi
    phi4-my-assistant phi4                      phi4-mini-tools phi4_mini
    phi-4-reasoning-med phi4_reasoning          gemma2-2b-jpn-it gemma
    gemma-7b-poems gemma                        gemma3-4b-medical gemma3
    gemma_3_12b_my gemma3                       gemma3n-e4b-voice gemma3n
    gemma4-e4b-coach gemma4                     mistral-7b-instruct-finance mistral
    my-mistral-7b-instruct mistral              mistral-7b-finance mistral
    mixtral-8x7b-support mistral_v1             mistral-nemo-12b-roleplay ministral
    mistral-small-24b-law mistral_small_3       ministral-8b-bot ministral
    llama2-7b-legal llama2                      llama-2-13b-my-chat llama2
    llama3-8b-finance llama3                    llama3.1-8b-doctor llama3_1
    llama-3_1-8b-doctor llama3_1                llama3.2-1b-notes llama3_2
    llama-3.2-11b-vision-radiology mllama       llama3.3-70b-poet llama3_3
    llama4-scout-shop llama4                    codellama-7b-sql llama2
    tinyllama-1.1b-jokes tinyllama              qwen-7b-finance qwen2
    qwen1.5-4b-helper qwen2                     qwen2-7b-support qwen2
    qwen2.5-0.5b-sql qwen                       qwen-2.5-7b-sql qwen
    qwen3-4b-medical qwen3                      qwen-3-8b-medical qwen3
    qwen3_1.7b_mine qwen3                       qwen3-4b-instruct-2507-mine qwen3_nothink
    qwen3-next-80b-mine qwen3_nothink           qwen2-vl-7b-receipts qwen2_vl
    qwen2.5-vl-3b-receipts qwen2_vl             qwen3-vl-4b-receipts qwen3_vl_nothink
    qwen3.5-9b-lab qwen3_5                      qwq-32b-math-tuned qwq
    deepseek-7b-chat-mine deepseek              deepseek-coder-6.7b-sql deepseekcoder
    deepseek-r1-distill-qwen-7b-law deepseekr1  deepseek-v3-mine deepseek3
    deepseek3-mine deepseek3                    chatglm3-6b-law chatglm3
    glm4-9b-finance glm4                        glm-4.5-air-mine glm4_moe
    glm4.5-air-mine glm4_moe                    yi-6b-finance yi
    yi-1.5-9b-finance yi1_5                     yi1.5-6b-chat-x yi1_5
    baichuan2-7b-medical baichuan2              baichuan-13b-medical baichuan
    internlm2-7b-law intern2                    internlm2.5-7b-law intern2
    internlm3-8b-law intern2                    internvl2-8b-charts intern_vl
    internvl3-2b-charts intern_vl3              falcon-7b-customer falcon
    falcon3-3b-customer falcon3                 vicuna-7b-story vicuna
    zephyr-7b-tax zephyr                        openchat-3.5-support openchat
    starcoder2-15b-instruct-mine starcoder2     command-r-35b-mine cohere
    aya-23-8b-urdu cohere                       smollm-360m-tales smollm
    smollm2-135m-tales smollm2                  smollm-2-1.7b-tales smollm2
    smollm3-3b-tales smollm3                    olmo2-7b-science olmo2
    olmo-7b-science olmo                        olmo3-7b-science olmo3
    granite-3.1-8b-bank granite3                granite3.3-2b-bank granite3
    granite4-h-tiny-bank granite4               exaone-3.5-7.8b-korean exaone
    exaone4-32b-korean exaone4                  minicpm-2b-essay cpm
    minicpm3-4b-essay cpm3                      minicpm-v-2.6-invoices minicpm_v
    hunyuan-1.8b-faq hunyuan_small              hunyuan-7b-faq hunyuan_7b
    ernie-4.5-0.3b-faq ernie_nothink            seed-oss-36b-agent seed_oss
    seed-coder-8b-sql seed_coder                gpt-oss-20b-agent gpt_oss
    kimi-k2-agent kimi_k2                       mimo-7b-proofs mimo
    lfm2-1.2b-home lfm2                         nemotron-nano-9b-v2-mine nemotron_nano2
    apertus-8b-swiss apertus                    solar-10.7b-insurance solar
    telechat2-7b-op telechat2                   xverse-7b-writer xverse
    jamba-1.5-mini-shop jamba                   orion-14b-novel orion
    h2o-danube3-4b-notes h2o_danube             opencoder-8b-sql opencoder
    index-1.9b-tales index                      llava-1.5-7b-plants llava
    llava1.5-7b-plants llava                    llava-v1.6-7b-plants llava_next
    yi-vl-6b-plants yi_vl                       yuan2-2b-essay yuan
    paligemma-3b-birds paligemma                pixtral-12b-birds pixtral
    MyLlama3-8b llama3                          OpenOLMo-7B olmo
    gemma-2-9b-chatml chatml                    PaliGemma-2-3b-birds paligemma
"""
"""Models as users call what they made of a family: its name, a size, words of their own, however they are spelled."""

OF_NO_FAMILY = """
    stable-code-3b                             stablelm-2-1_6b-chat
    pythia-1b-chat                             opt-6.7b-finance
    bert-base-uncased                          dolly-v2-3b
    mpt-7b-chat                                llama-7b-mine
    open_llama_3b_mine                         gpt2-medium-mine
    Qwen3-Nemotron-32B-RLBFF                   Mistral-7B-OpenOrca
    OpenReasoning-Nemotron-32B                 OpenMath-Nemotron-32B
    OpenCodeReasoning-Nemotron-32B             nemotron-3-8b-chat-4k-sft
    Molmo-7B-D-0924                            Molmo2-8B
    Baichuan-M1-14B-Instruct                   deepseek-vl2-small
    zephyr-7b-gemma-v0.1                       Nous-Hermes-Llama2-13b
    Llama3-ChatQA-1.5-8B                       flexolmo-7b
    phi-34b-mine                               llama-40b-mine
    deepseek-vl2                               bling-plus-mine
    granite-34b-code-base-8k                   dolphin-llama2-7b
    stable-vicuna-13b                          llama-2-7b-guanaco
    phi-2-finance                              phi-1_5-mine
    bloomz-7b1-mine                            starcoder2-7b-mine
    t5-base-2-mine                             philosophy-4b
    amphibian-3-7b                             graphite-3b-mine
    mayi-6b-chat-mine                          sigma-2-9b-it
    Yi-34B                                     Yi-34B-200K
    Yi-6B-base                                 internlm2-7b
    internlm2-20b-base                         XVERSE-7B
    XVERSE-13B-256K                            Baichuan2-7B-Base
    Baichuan2-7B-Base-GPTQ                     codellama-7b-hf
    CodeLlama-7b-Python-hf                     TinyLlama-1.1B-intermediate-step-1431k-3T
    vibe-3-4b                                  Llama-3_3-Nemotron-Super-49B-v1
    Llama-3_1-Nemotron-Ultra-253B-v1           Llama-3.1-Nemotron-Nano-8B-v1
    Mistral-NeMo-Minitron-8B-Instruct          Llama-3.1-Nemotron-Nano-4B-v1.1
"""
"""Other families, some within whose names one of ours stands, base models, and those with another format."""

WITHOUT = (
    "bigscience/bloomz-7b1-mt",
    "openai-community/gpt2",
    "huggyllama/llama-7b",
    "microsoft/phi-1_5",
    "microsoft/phi-2",
    "bigcode/starcoder2-7b",
    "internlm/internlm2-7b",
    "01-ai/Yi-34B",
    "xverse/XVERSE-7B",
    "me/my-finetune",
)
"""Models that were trained with no template, as far as anybody knows."""


@pytest.fixture(scope="module")
def installed() -> dict[str, type]:
    """The templates of this environment by name."""
    return {entry.name: entry.load() for entry in entry_points(group="tunesmith.template")}


@pytest.fixture(scope="module")
def models() -> dict[str, dict[str, str]]:
    """The repository's registry: by name the ids by hub, and the template."""
    found: dict[str, dict[str, str]] = yaml.load(REGISTRY.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return found


def found(installed: dict[str, type], name: str) -> str | None:
    detected = detect(installed, [name], None)
    return detected.name if detected else None


def test_the_registry_names_templates_by_their_own_names(
    installed: dict[str, type], models: dict[str, dict[str, str]]
) -> None:
    """An alias would be announced to whoever copies it from there."""
    used = {entry["template"] for entry in models.values() if "template" in entry}
    assert len(models) > 700 and len(used) > 100
    assert {name: traits_of("template", installed[name]).name for name in used} == {name: name for name in used}


def test_a_model_is_known_by_each_of_its_names(installed: dict[str, type], models: dict[str, dict[str, str]]) -> None:
    wanted = {
        known.rpartition("/")[2]: entry["template"]
        for name, entry in models.items()
        if "template" in entry
        for known in (name, *(model for hub, model in entry.items() if hub != "template"))
    }
    assert {known: found(installed, known) for known in wanted} == wanted


def test_the_names_of_other_programs(installed: dict[str, type]) -> None:
    assert set(NAMES_ELSEWHERE.split()) <= set(installed)


def test_models_of_every_family(installed: dict[str, type]) -> None:
    words = FAMILIES.split()
    wanted = dict(zip(words[::2], words[1::2], strict=True))
    assert {model: found(installed, model) for model in wanted} == wanted


def test_models_that_users_made(installed: dict[str, type]) -> None:
    """Each has the most used template of its family."""
    words = OF_USERS.split()
    wanted = dict(zip(words[::2], words[1::2], strict=True))
    assert {model: found(installed, f"me/{model}") for model in wanted} == wanted
    others = OF_NO_FAMILY.split()
    assert {model: found(installed, f"me/{model}") for model in others} == dict.fromkeys(others)


def test_models_without_template(installed: dict[str, type]) -> None:
    assert {model: found(installed, model) for model in WITHOUT} == dict.fromkeys(WITHOUT)


@pytest.mark.real
def test_all_names_of_the_facts(real_files: Path, models: dict[str, dict[str, str]]) -> None:
    """Each template and model that is known of another program is one here."""
    facts = real_files / "facts"
    if not facts.is_dir():
        pytest.skip(f"no facts at {facts}")
    templates = json.loads((facts / "templates.json").read_text(encoding="utf-8"))
    assert {*templates["templates"], *templates["legacy_templates"]} == set(NAMES_ELSEWHERE.split())
    known = json.loads((facts / "models.json").read_text(encoding="utf-8"))
    groups = {name for group in known["groups"].values() for name in group["models"]}
    missing = {name.rpartition("/")[2] for name in groups} - set(models)
    assert not missing
