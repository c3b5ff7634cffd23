"""The formats of early models against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_early import (
    CPM,
    Alpaca,
    AlphaMonarch,
    Aquila,
    Atom,
    Baichuan,
    Baichuan2,
    Belle,
    BlueLM,
    Breeze,
    Breeze01,
    ChatMLDe,
    CodeShell,
    Default,
    Empty,
    Fewshot,
    FusionNet,
    Index,
    Megrez,
    Openchat,
    Openchat36,
    Orion,
    RwkvWorld,
    SeaLLM,
    SeaLLM3,
    Starchat,
    Tulu,
    Tulu3,
    Vicuna,
    WizardLM2,
    WizardMath,
    Wukong,
    XuanYuan,
    Xverse,
    Yayi,
    YiVL,
    Yuan,
    Zephyr,
    Ziya,
)


class TestDefault(TemplateSuite):
    plugin = Default


class TestEmpty(TemplateSuite):
    plugin = Empty


class TestFewshot(TemplateSuite):
    plugin = Fewshot


class TestAlpaca(TemplateSuite):
    plugin = Alpaca


class TestChatMLDe(TemplateSuite):
    plugin = ChatMLDe


class TestVicuna(TemplateSuite):
    plugin = Vicuna


class TestWizardLM2(TemplateSuite):
    plugin = WizardLM2


class TestZephyr(TemplateSuite):
    plugin = Zephyr


class TestStarchat(TemplateSuite):
    plugin = Starchat


class TestTulu(TemplateSuite):
    plugin = Tulu


class TestTulu3(TemplateSuite):
    plugin = Tulu3


class TestOpenchat(TemplateSuite):
    plugin = Openchat


class TestOpenchat36(TemplateSuite):
    plugin = Openchat36


class TestSeaLLM(TemplateSuite):
    plugin = SeaLLM


class TestSeaLLM3(TemplateSuite):
    plugin = SeaLLM3


class TestBreeze(TemplateSuite):
    plugin = Breeze


class TestBreeze01(TemplateSuite):
    plugin = Breeze01


class TestAquila(TemplateSuite):
    plugin = Aquila


class TestAtom(TemplateSuite):
    plugin = Atom


class TestBelle(TemplateSuite):
    plugin = Belle


class TestCodeShell(TemplateSuite):
    plugin = CodeShell


class TestOrion(TemplateSuite):
    plugin = Orion


class TestXuanYuan(TemplateSuite):
    plugin = XuanYuan


class TestXverse(TemplateSuite):
    plugin = Xverse


class TestYiVL(TemplateSuite):
    plugin = YiVL


class TestZiya(TemplateSuite):
    plugin = Ziya


class TestBaichuan(TemplateSuite):
    plugin = Baichuan


class TestBaichuan2(TemplateSuite):
    plugin = Baichuan2


class TestBlueLM(TemplateSuite):
    plugin = BlueLM


class TestCPM(TemplateSuite):
    plugin = CPM


class TestIndex(TemplateSuite):
    plugin = Index


class TestMegrez(TemplateSuite):
    plugin = Megrez


class TestWukong(TemplateSuite):
    plugin = Wukong


class TestYayi(TemplateSuite):
    plugin = Yayi


class TestYuan(TemplateSuite):
    plugin = Yuan


class TestRwkvWorld(TemplateSuite):
    plugin = RwkvWorld


class TestWizardMath(TemplateSuite):
    plugin = WizardMath


class TestAlphaMonarch(TemplateSuite):
    plugin = AlphaMonarch


class TestFusionNet(TemplateSuite):
    plugin = FusionNet
