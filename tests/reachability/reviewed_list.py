"""Reads a reviewed list: what the walk starts from, and what a person has judged because the walk cannot.

Blocks begin in the first column; their further lines are indented. `%` in a name stands for anything; names are those
that c++filt prints. Every block gives its reason, and one that nothing needs any more is an error.

    entry NAME                     the walk starts here
      because ...

    allow NAME NAME ...            functions outside of the objects that do not allocate
      because ...

    indirect NAME                  a function that calls through a pointer
      calls NAME                   what may stand behind it, walked as if it was called directly; one a line;
      calls outside                or functions outside of the objects (a driver, the user's)
      sites 2                      indirect calls in it, at most; 1 unless said otherwise
      because ...

    cut NAME                       a function whose calls of some others are not followed
      calls NAME
      because ...
"""
import re
from dataclasses import dataclass, field

KINDS = ("entry", "allow", "indirect", "cut")
OUTSIDE = "outside"


class ListError(Exception):
    pass


def glob(pattern):
    return re.compile("".join(".*" if c == "%" else re.escape(c) for c in pattern) + r"\Z", re.DOTALL)


@dataclass
class Pattern:
    text: str
    where: str  # "file:line", for messages
    uses: int = 0

    def __post_init__(self):
        self._regex = glob(self.text)

    def matches(self, *names):
        if any(self._regex.match(name) for name in names):
            self.uses += 1
            return True
        return False


@dataclass
class Block:
    kind: str
    names: list
    where: str
    calls: list = field(default_factory=list)
    because: str = ""
    sites: int = 1
    outside: bool = False

    def patterns(self):
        return self.names + self.calls


def parse(text, file):
    blocks = []
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{file}:{number}"
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if not rest:
            raise ListError(f"{where}: '{word}' needs a value")
        if not line[0].isspace():
            if word not in KINDS:
                raise ListError(f"{where}: a block is one of {', '.join(KINDS)}, not '{word}'")
            names = rest.split() if word == "allow" else [rest]
            blocks.append(Block(word, [Pattern(name, where) for name in names], where))
            continue
        if not blocks:
            raise ListError(f"{where}: an indented line before the first block")
        block = blocks[-1]
        if word == "because":
            block.because = rest
        elif word == "calls" and block.kind == "indirect" and rest == OUTSIDE:
            block.outside = True
        elif word == "calls" and block.kind in ("indirect", "cut"):
            block.calls.append(Pattern(rest, where))
        elif word == "sites" and block.kind == "indirect" and rest.isdigit():
            block.sites = int(rest)
        elif block.because and word not in ("calls", "sites"):
            block.because += " " + line.strip()
        else:
            raise ListError(f"{where}: '{line.strip()}' does not belong in a block '{block.kind}'")
    for block in blocks:
        if not block.because:
            raise ListError(f"{block.where}: the block gives no reason; add a line 'because ...'")
        if block.kind in ("indirect", "cut") and not block.calls and not block.outside:
            raise ListError(f"{block.where}: the block says nothing of what is called; add lines 'calls ...'")
    return blocks


def read(paths):
    blocks = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            blocks += parse(file.read(), path.rsplit("/", 1)[-1])
    return blocks
