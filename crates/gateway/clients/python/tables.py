"""Tables in Markdown: made from results, written to a file of their own or into the place that a page keeps for them."""

import pathlib
import re


def table(head, rows):
    """Lines of a table; texts must not hold a bar."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def write(path, name, text):
    """Writes the text between the page's marks of this name; a file without them, or a new one, becomes the text."""
    path = pathlib.Path(path)
    page = path.read_text() if path.exists() else ""
    begin, end = f"<!-- {name}:begin", f"<!-- {name}:end -->"
    if begin in page and end in page:
        text = re.sub(
            f"({re.escape(begin)}[^\n]*\n).*?({re.escape(end)})",
            lambda found: f"{found[1]}{text.strip()}\n{found[2]}",
            page,
            flags=re.DOTALL,
        )
    elif page.startswith("# "):
        raise SystemExit(f"error: {path} is a page without `{begin} -->` and `{end}`")
    path.write_text(text)
