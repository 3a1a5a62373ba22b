#!/usr/bin/env python3
"""No allocator is reachable from a frame: walks the calls of compiled objects from named entry points.

    reachability.py --list FILE... [--entry NAME]... OBJECT... | @FILE-WITH-OBJECTS

The objects must be compiled with -ffunction-sections -fdata-sections, for x86-64. Every relocation of a function is an
edge: calls, taken addresses, tables, vtables (without their deleting destructors, which only a delete expression
calls). Reaching an allocator, a change of the address space, a throw, a thread start or a C library function that is
known to allocate is an error, printed with the chain of functions that leads there. So is a function outside of the
objects, or a call through a pointer, that no reviewed list knows, and so is an entry of a list that nothing needs.

Exit status: 0 nothing was found, 1 something was, 2 the question cannot be answered (wrong object, malformed list).
"""
import argparse
import re
import subprocess
import sys
from collections import deque

import reviewed_list
from elf_object import STT_SECTION, ElfObject, ObjectError
from indirect_calls import indirect_calls_of

# What must not be reached, by the names that c++filt prints, and why. Not to be excused by `allow`.
FORBIDDEN = (
    ("it allocates", "malloc calloc realloc reallocarray memalign posix_memalign aligned_alloc valloc pvalloc strdup "
     "strndup asprintf vasprintf __asprintf_chk __vasprintf_chk getline getdelim open_memstream fopen fopen64 fdopen "
     "opendir getaddrinfo setlocale mi_% operator_new%"),
    ("it frees", "free cfree operator_delete%"),
    ("it changes the address space", "mmap mmap64 munmap mremap mprotect madvise brk sbrk shmat shmdt"),
    ("it allocates, as every throw does",
     "__cxa_throw __cxa_rethrow __cxa_allocate_exception std::__throw_% std::rethrow_exception%"),
    ("it starts a thread", "pthread_create thrd_create std::thread::_M_start_thread%"),
    ("it allocates now and then", "qsort qsort_r localtime localtime_r mktime strftime tzset backtrace "
     "backtrace_symbols dlopen dlmopen dlerror __cxa_thread_atexit __cxa_thread_atexit_impl atexit __cxa_atexit "
     "pthread_key_create pthread_setspecific std::get_temporary_buffer%"),
)
FORBIDDEN_GLOBS = [(reviewed_list.glob(name), why) for why, names in FORBIDDEN for name in names.split()]


def why_forbidden(name):
    folded = re.sub(r"^operator (new|delete)", r"operator_\1", name)
    return next((why for pattern, why in FORBIDDEN_GLOBS if pattern.match(folded)), None)


def demangle(names):
    names = sorted(names)
    out = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return dict(zip(names, out.splitlines()))


class Node:
    """A section of an object: one function, its cold part, or one table."""

    def __init__(self, elf, section):
        self.elf, self.section = elf, section
        self.mangled = section.functions[0].name if section.functions else ""
        self.name = section.name  # replaced by the demangled name
        self.is_vtable = section.name.startswith((".data.rel.ro", ".rodata")) and "._ZTV" in section.name


class Program:
    def __init__(self, paths):
        self.objects = [ElfObject(path) for path in paths]
        self.nodes = {}        # (path, section index) -> Node
        self.definitions = {}  # global name -> [Node]: of an inline function there is one per object
        for elf in self.objects:
            for section in elf.sections.values():
                self.nodes[elf.path, section.index] = Node(elf, section)
            for symbol in elf.symbols:
                node = self.nodes.get((elf.path, symbol.section))
                if node and not symbol.is_local:
                    self.definitions.setdefault(symbol.name, []).append(node)
                if node and symbol.kind != STT_SECTION and not node.mangled:
                    node.mangled = symbol.name
        self.demangled = demangle({symbol.name for elf in self.objects for symbol in elf.symbols if symbol.name})
        for node in self.nodes.values():
            if node.mangled:
                self.demangled.setdefault(node.mangled, node.mangled)
                # GCC's clones and cold parts count as the function itself.
                node.name = re.sub(r"( \[clone [^]]*\])+$", "", self.demangled[node.mangled])
        self._indirect = {}

    def functions(self):
        return (node for node in self.nodes.values() if node.section.functions)

    def targets(self, node, symbol):
        """The nodes that a reference leads to, and the outside name when there is none."""
        local = self.nodes.get((node.elf.path, symbol.section))
        if symbol.is_local or symbol.kind == STT_SECTION:
            return ([local] if local else []), None
        definitions = self.definitions.get(symbol.name)
        if definitions:
            return definitions, None
        return [], (None if local else self.demangled.get(symbol.name, symbol.name))

    def indirect_calls(self, node):
        path = node.elf.path
        if path not in self._indirect:
            self._indirect[path] = indirect_calls_of(node.elf)
        return self._indirect[path].get(node.section.index, [])


class Walk:
    def __init__(self, program, blocks):
        self.program = program
        self.of_kind = {kind: [block for block in blocks if block.kind == kind] for kind in reviewed_list.KINDS}
        self.parents = {}   # Node -> Node it was first reached from, or None
        self.findings = []  # text
        self.outside = {}   # outside name -> Node it was first reached from
        self.indirect_count = 0
        self._said = set()

    def run(self):
        queue = deque()

        def reach(node, parent):
            if node not in self.parents:
                self.parents[node] = parent
                queue.append(node)

        for block in self.of_kind["entry"]:
            pattern = block.names[0]
            for node in self.program.functions():
                if pattern.matches(node.name):
                    reach(node, None)
            if not pattern.uses:
                self.findings.append(f"{block.where}: no function matches the entry point '{pattern.text}'")
        while queue:
            node = queue.popleft()
            for target in self._edges(node):
                reach(target, node)
            if node.section.is_code:
                for target in self._indirect_targets(node):
                    reach(target, node)
        self._find_stale()

    def _edges(self, node):
        seen = set()
        for _, _, symbol in node.section.references:
            nodes, outside = self.program.targets(node, symbol)
            key = outside or tuple(map(id, nodes))
            if key in seen:
                continue
            seen.add(key)
            if outside:
                self._reach_outside(node, outside)
            for target in nodes:
                if target is node or (node.is_vtable and self._is_deleting_destructor(target)):
                    continue
                if why_forbidden(target.name):  # the gate's own malloc, say: its inside is not the question
                    self._reach_outside(node, target.name)
                elif not self._is_cut(node, target.name):
                    yield target

    @staticmethod
    def _is_deleting_destructor(node):
        return any(re.search(r"D0Ev$", symbol.name) for symbol in node.section.functions)

    def _is_cut(self, node, name):
        blocks = [block for block in self.of_kind["cut"] if block.names[0].matches(node.name)]
        return any([pattern.matches(name) for block in blocks for pattern in block.calls])

    def _reach_outside(self, node, name):
        if self._is_cut(node, name):
            return
        why = why_forbidden(name)
        if why:
            self._say(("forbidden", name, node.name), f"{name} is reachable from a frame, and {why}:", node, name)
        elif not any([p.matches(name) for block in self.of_kind["allow"] for p in block.names]):
            self._say(("unknown", name), f"{name} lies outside of the objects, and no list knows it; if it does not "
                      "allocate, say so with 'allow':", node, name)
        self.outside.setdefault(name, node)

    def _indirect_targets(self, node):
        sites = self.program.indirect_calls(node)
        if not sites:
            return
        self.indirect_count += len(sites)
        blocks = [block for block in self.of_kind["indirect"] if block.names[0].matches(node.name)]
        if sum(block.sites for block in blocks) < len(sites):
            places = ", ".join(f"+0x{offset:x}" for offset in sites)
            known = f"{sum(block.sites for block in blocks)} of them reviewed" if blocks else "none reviewed"
            self._say(("indirect", node.name, node.elf.path), f"{node.name} calls through a pointer ({len(sites)} at "
                      f"{places}, {known}); say what may stand behind it with 'indirect':", node, None)
        for block in blocks:
            for pattern in block.calls:
                for target in self.program.functions():
                    if pattern.matches(target.name):
                        yield target

    def _say(self, key, text, node, last):
        if key in self._said:
            return
        self._said.add(key)
        chain = [last] if last else []
        while node is not None:
            chain.append(node.name)
            node = self.parents[node]
        lines = [f"  {'   ' * (i != 0)}{'-> ' * (i != 0)}{name}" for i, name in enumerate(reversed(chain))]
        self.findings.append("\n".join([text] + lines))

    def _find_stale(self):
        for kind in ("allow", "indirect", "cut"):
            for block in self.of_kind[kind]:
                for pattern in block.patterns():
                    if not pattern.uses:
                        self.findings.append(f"{pattern.where}: nothing in a frame needs '{pattern.text}' any more; "
                                             f"take it out of the list ('{kind}')")


def expand(arguments):
    for argument in arguments:
        if argument.startswith("@"):
            with open(argument[1:], encoding="utf-8") as file:
                yield from filter(None, (line.strip() for line in file))
        else:
            yield argument


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="append", default=[], help="a reviewed list (see reviewed_list.py)")
    parser.add_argument("--entry", action="append", default=[], help="a further entry point; %% stands for anything")
    parser.add_argument("--each", action="store_true",
                        help="walk from each entry point by itself, and say before its findings which it is")
    parser.add_argument("objects", nargs="+")
    options = parser.parse_args(arguments)
    try:
        blocks = reviewed_list.read(options.list)
        blocks += [reviewed_list.Block("entry", [reviewed_list.Pattern(name, "--entry")], "--entry", because="asked")
                   for name in options.entry]
        if not any(block.kind == "entry" for block in blocks):
            raise reviewed_list.ListError("no entry point: give --entry, or a list with 'entry' blocks")
        program = Program(list(expand(options.objects)))
        entries = [block for block in blocks if block.kind == "entry"]
        others = [block for block in blocks if block.kind != "entry"]
        walks = []
        for some in [[entry] for entry in entries] if options.each else [entries]:
            walks.append(Walk(program, some + others))
            walks[-1].run()
            if options.each:
                print(f"from {some[0].names[0].text}:\n")
            for finding in walks[-1].findings:
                print(finding + "\n")
    except (ObjectError, reviewed_list.ListError, OSError, subprocess.CalledProcessError) as error:
        print(f"reachability: {error}", file=sys.stderr)
        return 2
    findings = sum(len(walk.findings) for walk in walks)
    functions = sum(1 for walk in walks for node in walk.parents if node.section.is_code)
    starts = sum(1 for walk in walks for parent in walk.parents.values() if parent is None)
    print(f"reachability: {findings} findings; {functions} functions reached from {starts} entry points, "
          f"{sum(walk.indirect_count for walk in walks)} indirect calls, {sum(len(walk.outside) for walk in walks)} "
          "functions outside")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
