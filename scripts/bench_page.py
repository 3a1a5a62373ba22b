"""The page of benchmark results: Markdown, and plots drawn as SVG with the standard library alone."""
import html
import math

HOLDS, FAILS, GOAL, INK, FAINT = "#2a7f74", "#c2410c", "#334155", "#0f172a", "#cbd5e1"
FONT = 'font-family="system-ui,sans-serif" font-size="12"'

METHOD = """Every figure is the median of the repetitions of one Google Benchmark program, with fixed seeds. Peers that
replace `malloc` run in programs of their own, because one process is not neutral ground for two allocators, and
programs that are compared with each other take turns, a repetition each; every one measures the same ideal too. Times on
a shared or virtual machine vary by some per cent from run to run: read a difference under 3 % as equal. A row that
does not hold its goal, and a peer that is faster than we are, stay in the table."""


def number(value):
    """Three significant digits, without an exponent where a person would not write one."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 1e7 or magnitude < 1e-3:
        return f"{value:.2e}"
    digits = max(0, 2 - math.floor(math.log10(float(f"{magnitude:.3g}"))))
    return f"{value:,.{digits}f}"


def layer_of(entry):
    return entry["id"].split(".")[0]


def layers(summary):
    return list(dict.fromkeys(layer_of(entry) for entry in summary))


def verdict(entry):
    if "note" in entry:
        return "not measured"
    return "holds" if entry["holds"] else "does not hold"


def console_table(summary):
    lines = []
    for entry in summary:
        lines.append(f"{entry['id']:<40} {number(entry['ours']):>10} {number(entry['other']):>10} {entry['unit']:<10} "
                     f"x{number(entry['ratio']):<8} goal {entry['goal']:<8} {verdict(entry):<13} ({entry['other_name']})")
    held = sum(entry["holds"] for entry in summary)
    lines.append(f"{held} of {len(summary)} rows hold their goal")
    return "\n".join(lines)


def text(x, y, content, anchor="start", color=INK, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" {FONT} {extra}>{html.escape(content)}</text>'


def document(width, height, title, body):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="{html.escape(title, quote=True)}">\n<rect width="100%" height="100%" fill="#ffffff"/>\n'
            + "\n".join(body) + "\n</svg>\n")


class LogScale:
    """Maps positive values to pixels, by decades that cover them all."""

    def __init__(self, values, start, end):
        self.low = math.floor(math.log10(min(values)) + 1e-9)
        self.high = max(math.ceil(math.log10(max(values)) - 1e-9), self.low + 1)
        self.start, self.end = start, end

    def __call__(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self):
        return [10.0 ** exponent for exponent in range(self.low, self.high + 1)]


def goal_ratio(entry):
    return float(entry["goal"].split()[1])


def bars(layer, entries):
    """One bar per row: the ratio to the other side on a log scale, a tick at the goal, a line at 1."""
    entries = [entry for entry in entries if entry["ratio"] and entry["ratio"] > 0]
    if not entries:
        return None
    left, right, top, step = 300, 190, 46, 24
    width, height = 960, top + step * len(entries) + 34
    goals = [goal_ratio(entry) for entry in entries if goal_ratio(entry) > 0]
    scale = LogScale([entry["ratio"] for entry in entries] + goals + [1.0], left, width - right)
    title = f"{layer}: ratio to the other side (log scale; left of 1: ours takes less)"
    body = [text(12, 24, title, extra='font-weight="600"')]
    for tick in scale.ticks():
        body.append(f'<line x1="{scale(tick):.1f}" y1="{top - 8}" x2="{scale(tick):.1f}" y2="{height - 28}" '
                    f'stroke="{INK if tick == 1 else FAINT}"/>')
        body.append(text(scale(tick), height - 12, f"{tick:g}", "middle"))
    for index, entry in enumerate(entries):
        y = top + index * step
        x0, x1 = sorted((scale(1.0), scale(entry["ratio"])))
        body.append(text(left - 8, y + 12, entry["id"].split(".", 1)[-1], "end"))
        body.append(f'<rect x="{x0:.1f}" y="{y}" width="{max(x1 - x0, 1.5):.1f}" height="15" fill="{HOLDS if entry["holds"] else FAILS}"/>')
        if goal_ratio(entry) > 0:
            goal = scale(goal_ratio(entry))
            body.append(f'<line x1="{goal:.1f}" y1="{y - 3}" x2="{goal:.1f}" y2="{y + 18}" stroke="{GOAL}" stroke-width="2"/>')
        body.append(text(width - right + 8, y + 12, f"{number(entry['ratio'])} × {entry['other_name']}"[:30]))
    return document(width, height, title, body)


def curve_plot(item):
    """How a cost grows with its argument: ours against the other side, both axes logarithmic."""
    series = [("ours", HOLDS, item["ours"]), (item["other_name"], FAILS, item["other"])]
    series = [(name, color, [(x, y) for x, y in points if x > 0 and y > 0]) for name, color, points in series]
    series = [entry for entry in series if len(entry[2]) >= 3]
    if not series:
        return None
    width, height, left, right, top, bottom = 720, 300, 70, 150, 46, 44
    across = LogScale([x for _, _, points in series for x, _ in points], left, width - right)
    up = LogScale([y for _, _, points in series for _, y in points], height - bottom, top)
    title = f"{item['what']} ({item['unit']})"
    body = [text(12, 24, title, extra='font-weight="600"')]
    for tick in across.ticks():
        body.append(f'<line x1="{across(tick):.1f}" y1="{top}" x2="{across(tick):.1f}" y2="{height - bottom}" stroke="{FAINT}"/>')
        body.append(text(across(tick), height - bottom + 16, f"{int(tick):,}", "middle"))
    for tick in up.ticks():
        body.append(f'<line x1="{left}" y1="{up(tick):.1f}" x2="{width - right}" y2="{up(tick):.1f}" stroke="{FAINT}"/>')
        body.append(text(left - 6, up(tick) + 4, f"{tick:g}", "end"))
    for name, color, points in series:
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        body += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{color}"/>' for x, y in points]
        body.append(text(across(points[-1][0]) + 8, up(points[-1][1]) + 4, name, color=color))
    return document(width, height, title, body)


def cell(content):
    return str(content).replace("|", "\\|").replace("\n", " ")


def table(entries):
    lines = ["| Row | What | Ours | Other | Unit | Ratio | Goal | |", "| --- | --- | ---: | ---: | --- | ---: | --- | --- |"]
    for entry in entries:
        state = verdict(entry) if "note" not in entry else f"not measured: {entry['note']}"
        mark = state if entry["holds"] else f"**{state}**"
        lines.append("| " + " | ".join(cell(part) for part in (
            f"`{entry['id']}`", entry["what"], number(entry["ours"]), f"{number(entry['other'])} ({entry['other_name']})",
            entry["unit"], number(entry["ratio"]), entry["goal"], mark)) + " |")
    return "\n".join(lines)


def machine_table(machine):
    lines = ["| | |", "| --- | --- |"]
    for key, value in machine.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {version}" for name, version in value.items())
        lines.append(f"| {cell(key)} | {cell(value)} |")
    return "\n".join(lines)


def write(out, summary, machine, curve_items):
    """Writes OUT/README.md and OUT/plots/*.svg."""
    plots = out / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    held = sum(entry["holds"] for entry in summary)
    page = ["# Benchmarks", "", "*Generated by `scripts/bench.sh` from `summary.json`; not written by hand.*", "",
            f"{held} of {len(summary)} rows hold their goal. A ratio is ours / other.", "", METHOD, ""]
    if machine:
        page += ["## Machine", "", machine_table(machine), ""]
    for layer in layers(summary):
        entries = [entry for entry in summary if layer_of(entry) == layer]
        page += [f"## {layer}", "", table(entries), ""]
        picture = bars(layer, entries)
        if picture:
            (plots / f"{layer}.svg").write_text(picture, encoding="utf-8")
            page += [f"![{layer}: ratio of each row to the other side](plots/{layer}.svg)", ""]
        for item in curve_items:
            picture = curve_plot(item) if layer_of(item) == layer else None
            if picture:
                (plots / f"{item['id']}.svg").write_text(picture, encoding="utf-8")
                page += [f"![{item['what']}: how it grows](plots/{item['id']}.svg)", ""]
    (out / "README.md").write_text("\n".join(page), encoding="utf-8")
