"""The report: one HTML file that needs nothing else, neither network nor scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from . import guarantee, plots, sentences
from .data import CLASSES, SIDE
from .sentences import percent


def page(result: dict[str, Any]) -> str:
    """The whole document, from the numbers alone."""
    sections = (
        first_screen,
        masks,
        training,
        calibration,
        uncertain,
        no_digits,
        verify,
        bench,
        reproduce,
    )
    body = "\n".join(section(result) for section in sections)
    return document("puredrop: same key, same bits, everywhere", body)


def document(title: str, body: str) -> str:
    """An HTML file that needs no other."""
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


# ------------------------------------------------------------------------------------------ the parts
def first_screen(result: dict[str, Any]) -> str:
    s = result["settings"]
    return f"""<header>
<p class="name">puredrop {escape(result["versions"]["puredrop"])}, a dropout engine</p>
<h1>Same key, same bits, everywhere.</h1>
<p class="lead">A mask is a pure function of (key, element index); dropout is a linear map; its gradient is the same map
with the same key. No mask is stored, and no bit of one depends on threads, chunks, shards or backends.</p>
</header>
<div class="first">
<div class="box"><h3>Checked in this run</h3>{guarantee_list(result["guarantee"])}</div>
<div class="box"><h3>Measured in this run, on {s["test_digits"]:,} test digits</h3>
<div class="scroll">{result_table(result)}</div>
<p class="note">Mean over {len(s["seeds"])} seeds, range below. NLL, the mean of &minus;log p(label), and ECE, the
expected calibration error in 15 bins: lower is better.</p></div>
</div>
<ul class="said">{"".join(f"<li>{escape(said)}</li>" for said in sentences.about_table(result))}</ul>"""


def guarantee_list(checks: Iterable[dict[str, Any]]) -> str:
    items = [
        f"<li{'' if check['passed'] else ' class=failed'}>{escape(check['claim'])}"
        f"{'' if check['passed'] else ': <strong>FAILED</strong>'}<small>{escape(check['detail'])}</small></li>"
        for check in checks
    ]
    return f'<ul class="checks">{"".join(items)}</ul>'


def result_table(result: dict[str, Any]) -> str:
    rows = [
        [
            model_cell(row),
            spread(row["accuracy"], lambda v: percent(v, 1)),
            spread(row["nll"], "{:.3f}".format),
            spread(row["ece"], "{:.3f}".format),
        ]
        for row in result["table"]
    ]
    return html_table(["", "accuracy", "NLL", "ECE"], rows)


def model_cell(row: dict[str, Any]) -> str:
    return f'<span class="key {row["name"]}"></span>{row["model"]}<small>{row["prediction"]}</small>'


def masks(result: dict[str, Any]) -> str:
    panels = [plots.svg(result, name) for name in (*(f"mask-{p}" for p in guarantee.RATES), "shard")]
    seed = result["settings"]["seed"]
    return section(
        "One key, one mask",
        paragraph(
            f"<code>puredrop.keep_mask(Key(seed={seed}), {plots.MASK}, p)</code> at three drop probabilities. "
            f"Whether an element is kept depends on the key, its number and p alone; so no mask need be stored, and a "
            f"machine that holds a part of the data draws that part.",
            markup=True,
        ),
        figure(
            panels,
            "Filled: kept. What p = 0.9 keeps has the strongest colour in all three pictures, what only p = 0.1 keeps "
            "the weakest: a larger p drops the same elements and more. Last picture: the orange part was drawn without "
            "the rest and laid upon the whole mask.",
        ),
    )


def training(result: dict[str, Any]) -> str:
    s = result["settings"]
    return section(
        "Training",
        paragraph(
            f"{s['train_digits']} digits for training, {s['test_digits']:,} for testing, {SIDE} x {SIDE} pixels each. "
            f"Nets of {SIDE * SIDE}-{s['hidden']}-{s['hidden']}-{CLASSES} units with ReLU; "
            f"Adam at {s['learning_rate']}, batches of {s['batch_size']}, {s['epochs']} epochs. Those with dropout "
            f"drop hidden units with p = {s['p']}. For each seed, both nets start from the same weights and see the "
            f"same batches. These are common values, the same for both nets, and not the best ones for either."
        ),
        figure(
            [plots.svg(result, "test-curves"), plots.svg(result, "training-curves")],
            f"Thick: mean of {len(s['seeds'])} seeds; thin: each seed; dropout is off in all of them, so the curves "
            f"compare. The mark is the lowest point. Left: where a curve rises, the net becomes surer of its errors. "
            f"Right: the same with the training digits, on a logarithmic axis; the gap between dashed and solid is "
            f"what a net has learned by heart.",
        ),
        paragraph(sentences.about_curves(result)),
    )


def calibration(result: dict[str, Any]) -> str:
    return section(
        "Is it as sure as it is right?",
        figure(
            [plots.svg(result, "reliability"), confidence_table(result)],
            f"Predictions of all seeds together, in 15 bins of confidence; a larger mark has more of them, and bins "
            f"with fewer than {plots.FEW} are left out. On the dashed line a net is right exactly as often as it says; "
            f"below it, too confident; above it, too modest.",
        ),
    )


def confidence_table(result: dict[str, Any]) -> str:
    """How many predictions lie in the last bin, how many of these are right, and the mean gap."""
    rows = []
    for row in result["table"]:
        bins = {field: np.asarray(values) for field, values in result["reliability"][row["name"]].items()}
        share = bins["rows"] / bins["rows"].sum()
        gap = 100 * float((share * (bins["confidence"] - bins["accuracy"])).sum())
        rows.append(
            [
                model_cell(row),
                percent(float(share[-1])),
                percent(float(bins["accuracy"][-1]), 1),
                f"{gap:+.1f} points".replace("-", "&minus;"),
            ]
        )
    note = (
        "The last bin holds the predictions with a confidence above 14/15. Last column: mean confidence minus "
        "accuracy; above zero is too confident, below zero too modest."
    )
    head = ["", "in the last bin", "of these right", "too confident by"]
    return f'<div><div class="scroll">{html_table(head, rows)}</div><p class="note">{note}</p></div>'


def uncertain(result: dict[str, Any]) -> str:
    digits = result["uncertain"]["digits"]
    peak = max(max(digit["mean"]) for digit in digits)
    tiles = "".join(tile(digit, peak) for digit in digits)
    return section(
        "The most uncertain digits",
        paragraph(sentences.about_uncertain(result)),
        f'<figure><div class="tiles">{tiles}</div><figcaption>The test digits on which the Monte-Carlo samples of the '
        f"first net with dropout disagree most, by mutual information (MI, in nats). Bars: mean probability of each "
        f"class; blue is the true one, orange the one that was chosen wrongly.</figcaption></figure>",
    )


def no_digits(result: dict[str, Any]) -> str:
    head = [
        "input",
        "median MI",
        "AUROC<small>MI</small>",
        "AUROC<small>entropy, samples</small>",
        "AUROC<small>entropy, no dropout</small>",
        "turned away",
    ]
    rows = [no_digit_row(row) for row in result["inputs"]]
    said = sentences.about_no_digits(result)
    return section(
        "Inputs that are no digits",
        paragraph(
            "A net with ten outputs answers with a digit whatever it is shown. The mutual information of the samples "
            "says how much they disagree; it knows nothing of what a digit is. Does it rise?"
        ),
        f'<div class="scroll">{html_table(head, rows)}</div>'
        '<p class="note">AUROC: how often an input of this sort ranks above a test digit; 0.5 is chance, 1 is perfect. '
        "Mean over the seeds, range below. Turned away: share above the MI that 5% of the test digits exceed.</p>",
        figure(
            [plots.svg(result, "information"), f"<div>{''.join(map(paragraph, said))}</div>"],
            "Mutual information in the first net with dropout; each strip is scaled to its own highest bar. What lies "
            "left of the dashed line looks like a digit to this score.",
        ),
    )


def no_digit_row(row: dict[str, Any]) -> list[str]:
    thumbs = "".join(pixels(example) for example in row["examples"])
    cells = [f'{escape(row["name"])}<div class="thumbs">{thumbs}</div>', spread(row["median"], "{:.2f}".format)]
    for score in ("mutual_information", "entropy_samples", "entropy_without"):
        cells.append(spread(row["auroc"][score], "{:.2f}".format) if "auroc" in row else "")
    return [*cells, spread(row["rejected"], percent)]


def verify(result: dict[str, Any]) -> str:
    found = result["verify"]
    if found is None:
        return section("Verify", paragraph("Not part of this run; <code>puredrop verify</code> does it.", markup=True))
    counts = found["counts"]
    said = (
        f"{', '.join(found['variants'])} on {', '.join(found['backends'])}. Checks passed: {counts['passed']:,}; "
        f"failed: {counts['failed']:,}; skipped: {counts['skipped']:,}; not applicable: {counts['not_applicable']:,}."
    )
    head = ["variant", "passed", "failed", "skipped", "not applicable"]
    rows = [[escape(name), *map(str, counts.values())] for name, counts in found["variants"].items()]
    return section(
        "Verify",
        paragraph(said + " The command puredrop verify holds every variant to them."),
        "".join(f'<p class="failures">{escape(failure_line(row))}</p>' for row in found["failures"]),
        f'<details><summary>Every variant</summary><div class="scroll">{html_table(head, rows)}</div></details>',
    )


def failure_line(row: dict[str, Any]) -> str:
    return f"failed: {row['variant']} on {row['backend']}, {row['check']}: {row.get('error') or row.get('reason')}"


def bench(result: dict[str, Any]) -> str:
    if result["bench"] is None:
        return section("Speed", paragraph("Not part of this run; <code>puredrop bench</code> does it.", markup=True))
    panels = [plots.bench_svg(result, size) for size in plots.bench_sizes(result)]
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences.about_bench(result["bench"]))
    return section(
        "Speed",
        figure(
            panels,
            "Nanoseconds an element, shorter is faster. Full colour: forward; pale: forward and backward. Bars are "
            "medians, lines span the quartiles. This was a short run; <code>puredrop bench</code> is the full one.",
        ),
        f'<ul class="said">{said}</ul>',
    )


def reproduce(result: dict[str, Any]) -> str:
    s = result["settings"]
    command = f"puredrop demo --seed {s['seed']} --epochs {s['epochs']}"
    facts = [*result["versions"].items(), ("backend", s["backend"]), ("seeds", ", ".join(map(str, s["seeds"])))]
    facts += [(f"time, {stage}", f"{seconds:.1f} s") for stage, seconds in result["seconds"].items()]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return section(
        "Reproduce",
        paragraph(
            "The same seed gives the same numbers on the same machine. Masks, first weights, batches and the split of "
            "the data are the same everywhere; sums of floating-point numbers may differ in the last bits elsewhere."
        ),
        f"<pre><code>pip install &quot;puredrop[demo]&quot;\n{command}</code></pre>",
        paragraph(
            "Or <code>make demo</code> in a checkout. All numbers of this page are in <code>results.json</code> beside "
            "it.",
            markup=True,
        ),
        f"<dl>{listed}</dl>",
    )


# ------------------------------------------------------------------------------------------ pieces of HTML
def section(title: str, *parts: str) -> str:
    return "\n".join(["<section>", f"<h2>{escape(title)}</h2>", *parts, "</section>"])


def paragraph(text: str, markup: bool = False) -> str:
    return f"<p>{text if markup else escape(text, quote=False)}</p>"


def figure(panels: Sequence[str], caption: str) -> str:
    return f'<figure><div class="panels">{"".join(panels)}</div><figcaption>{caption}</figcaption></figure>'


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML; the first of each row is its heading."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """The mean, and the range below it unless both ends read the same."""
    low, high = shown(min(values)), shown(max(values))
    ends = "" if low == high else f"<small>{low.removesuffix('%')}&ndash;{high.removesuffix('%')}</small>"
    return f"{shown(float(np.mean(values)))}{ends}"


def pixels(values: Sequence[float]) -> str:
    """An 8 x 8 picture in the colour of the text, so that it is ink on any background."""
    squares = "".join(
        f'<rect x="{i % SIDE}" y="{i // SIDE}" width="1.02" height="1.02" fill-opacity="{v:.2f}"/>'
        for i, v in enumerate(values)
        if v > 0
    )
    return f'<svg class="pixels" viewBox="0 0 {SIDE} {SIDE}" fill="currentColor" aria-hidden="true">{squares}</svg>'


def tile(digit: dict[str, Any], peak: float) -> str:
    wrong = digit["label"] != digit["predicted"]
    said = f"is {digit['label']}, said {digit['predicted']}"
    return (
        f'<div class="tile">{pixels(digit["pixels"])}<div{" class=wrong" if wrong else ""}>{said}</div>'
        f"<span>MI {digit['mutual_information']:.2f}</span>{chances(digit, peak)}</div>"
    )


def chances(digit: dict[str, Any], peak: float) -> str:
    """Ten bars, one for each class; one of height `peak` is as high as the picture."""
    bars = []
    for c, chance in enumerate(digit["mean"]):
        role = "with" if c == digit["label"] else "samples" if c == digit["predicted"] else "without"
        height = 26 * chance / peak
        bars.append(
            f'<rect x="{10 * c + 1}" y="{26 - height:.1f}" width="8" height="{height:.1f}" '
            f'fill="var(--{role})"/><text x="{10 * c + 5}" y="34">{c}</text>'
        )
    shown = ", ".join(f"{c}: {chance:.2f}" for c, chance in enumerate(digit["mean"]))
    return f'<svg class="chances" viewBox="0 0 100 35" role="img" aria-label="{shown}">{"".join(bars)}</svg>'
