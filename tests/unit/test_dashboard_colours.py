"""The colours of the dashboard as its style sheet has them: told apart by colour-blind eyes, and read by all."""

import itertools
import math
import re

import pytest

from functions.dashboard.files import STATIC

Colour = tuple[float, float, float]
STATUSES = ("ok", "warn", "crit", "down", "model")

# Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB:
# https://www.inf.ufrgs.br/~oliveira/pubs_files/CVD_Simulation/CVD_Simulation.html
BLINDNESS = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
APART = {"protan": 12.0, "deutan": 12.0, "tritan": 8.0}


def tokens(theme: str) -> dict[str, str]:
    css = (STATIC / "app.css").read_text()
    dark = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", css.split(":root {")[1].split("}")[0]))
    light = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", css.split(':root[data-theme="light"] {')[1].split("}")[0]))
    assert light.keys() <= dark.keys()
    return dark if theme == "dark" else dark | light


def linear(colour: str) -> Colour:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))  # type: ignore[return-value]


def luminance(colour: str) -> float:
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: Colour) -> Colour:
    """CIELAB, D65, of linear sRGB."""
    rows = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
    white = (0.95047, 1.0, 1.08883)
    xyz = [sum(m * c for m, c in zip(row, rgb, strict=True)) / w for row, w in zip(rows, white, strict=True)]
    x, y, z = (v ** (1 / 3) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one: Colour, other: Colour) -> float:
    """Sharma, Wu, Dalal 2005: https://hajim.rochester.edu/ece/sites/gsharma/ciede2000/"""
    (l1, a1, b1), (l2, a2, b2) = one, other
    c_mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(c_mean**7 / (c_mean**7 + 25**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = math.degrees(math.atan2(b1, a1)) % 360, math.degrees(math.atan2(b2, a2)) % 360
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    dl, dc, dh = l2 - l1, c2 - c1, 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn) / 2)
    lm, cm = (l1 + l2) / 2, (c1 + c2) / 2
    hm = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    t = (
        1
        - 0.17 * math.cos(math.radians(hm - 30))
        + 0.24 * math.cos(math.radians(2 * hm))
        + 0.32 * math.cos(math.radians(3 * hm + 6))
        - 0.20 * math.cos(math.radians(4 * hm - 63))
    )
    sl = 1 + 0.015 * (lm - 50) ** 2 / math.sqrt(20 + (lm - 50) ** 2)
    sc, sh = 1 + 0.045 * cm, 1 + 0.015 * cm * t
    rc = 2 * math.sqrt(cm**7 / (cm**7 + 25**7))
    rt = -math.sin(2 * math.radians(30 * math.exp(-(((hm - 275) / 25) ** 2)))) * rc
    return math.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * (dc / sc) * (dh / sh))


def seen(colour: str, blindness: str) -> Colour:
    rgb = linear(colour)
    mixed = [sum(m * c for m, c in zip(row, rgb, strict=True)) for row in BLINDNESS[blindness]]
    return tuple(min(1.0, max(0.0, c)) for c in mixed)  # type: ignore[return-value]


def test_the_difference_is_that_of_the_paper_s_own_examples() -> None:
    assert ciede2000((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert ciede2000((50, 2.5, 0), (73, 25, -18)) == pytest.approx(27.1492, abs=1e-4)
    assert ciede2000((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619)) == pytest.approx(2.0373, abs=1e-4)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("blindness", sorted(BLINDNESS))
def test_statuses_and_predictions_are_apart_for_colour_blind_eyes(theme: str, blindness: str) -> None:
    found = tokens(theme)
    near = {
        f"{one} {other}": round(d, 1)
        for one, other in itertools.combinations(STATUSES, 2)
        if (d := ciede2000(lab(seen(found[one], blindness)), lab(seen(found[other], blindness)))) < APART[blindness]
    }
    assert near == {}


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_is_read_on_everything_it_stands_on(theme: str) -> None:
    found = tokens(theme)
    inks = ("ink", "ink-2", "ink-3", "crit", "down", "model")
    faint = {
        f"{ink} on {ground}": round(ratio, 2)
        for ink in inks
        for ground in ("bg", "surface", "surface-2")
        if (ratio := contrast(found[ink], found[ground])) < 4.5
    }
    assert faint == {}
    assert contrast(found["on-down"], found["down"]) >= 4.5
    assert contrast(found["ink-2"], found["surface-3"]) >= 4.5


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_shapes_and_the_focus_ring_are_seen(theme: str) -> None:
    found = tokens(theme)
    faint = {
        f"{shape} on {ground}": round(ratio, 2)
        for shape in (*STATUSES, "ink-3", "focus")
        for ground in ("bg", "surface")
        if (ratio := contrast(found[shape], found[ground])) < 3.0
    }
    assert faint == {}
