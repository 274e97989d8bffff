"""The light that each method and stopping rule leaves over: Σ(g - Hx - b), by region."""

from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rltv import Rltv
from support.light_left import DIM, OTHER_ROWS, haze_with_beads, light_left
from support.paths import REFERENCE_DATA

METHODS: dict[str, Rl | Rltv] = {
    "RL, 15": Rl(kind="rl", iterations=15),
    "RL, 40": Rl(kind="rl", iterations=40),
    "plain RL, 40": Rl(kind="rl", iterations=40, acceleration="none"),
    "relative_change": Rl(kind="rl", stopping="relative_change"),
    "rlgc": Rl(kind="rl", stopping="rlgc"),
    "RLTV, 60": Rltv(kind="rltv", iterations=60, tv_weight=0.002),
}


def main(quick: bool = False) -> str:
    """Return a Markdown table: what each method leaves over, by region."""
    if not REFERENCE_DATA.is_dir():
        return f"Not run: {REFERENCE_DATA} does not exist; set DECON3D_REFERENCE_DATA."
    image, psf = haze_with_beads(REFERENCE_DATA)
    if quick:
        image = image[10:50, 40:160, 60:180]
    lines = [
        "Σ(g - Hx - b) in per cent of Σ(g - b), and (in brackets) in standard deviations of the "
        "noise, on beads_8bit. Allowed: the larger of 1 % (RLTV 3 %, dimmest 90 % 6 %) and 3.\n",
        f"| method | frame | dimmer half | {OTHER_ROWS} | dimmest {DIM} % | worst object |",
        "|---|---|---|---|---|---|",
    ]
    for name, method in METHODS.items():
        left = {r: v for r, *v in light_left(image, method, psf=psf)}
        shares = {r: (100 * a / b, a / noise) for r, (a, b, noise) in left.items()}
        cells = [shares.pop(r) for r in ("frame", "dimmer half", OTHER_ROWS, f"dimmest {DIM} %")]
        cells.append(max(shares.values(), key=lambda share: abs(share[1])))
        listed = " | ".join(f"{share:+.2f} ({sigmas:+.1f})" for share, sigmas in cells)
        lines.append(f"| {name} | {listed} |")
    return "\n".join(lines)
