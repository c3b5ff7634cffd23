"""The formats of early models: words or a few marks around turns, no tools, no form for thoughts.

Each is data for the Jinja `turns.jinja` of tunesmith_library_chat, but for two whose prompts hold more.
"""

from tunesmith_template_early.chinese_marks import CPM, Baichuan, Baichuan2, BlueLM, Index, Megrez, Wukong, Yayi, Yuan
from tunesmith_template_early.chinese_words import (
    Aquila,
    Atom,
    Belle,
    CodeShell,
    Orion,
    XuanYuan,
    Xverse,
    YiVL,
    Ziya,
)
from tunesmith_template_early.marked import (
    AlphaMonarch,
    Breeze,
    Breeze01,
    FusionNet,
    Openchat,
    Openchat36,
    SeaLLM,
    SeaLLM3,
    Starchat,
    Tulu,
    Tulu3,
    Zephyr,
)
from tunesmith_template_early.plain import Alpaca, ChatMLDe, Default, Empty, Fewshot, Vicuna, WizardLM2
from tunesmith_template_early.prompted import RwkvWorld, WizardMath

__all__ = [
    "CPM",
    "Alpaca",
    "AlphaMonarch",
    "Aquila",
    "Atom",
    "Baichuan",
    "Baichuan2",
    "Belle",
    "BlueLM",
    "Breeze",
    "Breeze01",
    "ChatMLDe",
    "CodeShell",
    "Default",
    "Empty",
    "Fewshot",
    "FusionNet",
    "Index",
    "Megrez",
    "Openchat",
    "Openchat36",
    "Orion",
    "RwkvWorld",
    "SeaLLM",
    "SeaLLM3",
    "Starchat",
    "Tulu",
    "Tulu3",
    "Vicuna",
    "WizardLM2",
    "WizardMath",
    "Wukong",
    "XuanYuan",
    "Xverse",
    "Yayi",
    "YiVL",
    "Yuan",
    "Zephyr",
    "Ziya",
]
