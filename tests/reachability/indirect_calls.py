"""Finds the indirect calls of x86-64 objects: calls and tail calls through a register or a pointer in memory.

The jumps of a switch are none: they go through a table of places in the same function, which the compiler either
adds to the table's address right before the jump, or indexes as `jmp *table(,%reg,8)`.
"""
import re
import subprocess

from elf_object import GOT_RELOCATIONS

INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(?:(?:notrack|bnd|data16|rex\.W)\s+)*(\S+)\s*(.*)$")
SECTION = re.compile(r"^Disassembly of section (.*):$")
SWITCH_TABLE = re.compile(r"^\*0x[0-9a-f]+\(,%r\w+,8\)")


def is_switch(mnemonic, operand, previous):
    if not mnemonic.startswith("jmp"):
        return False
    if SWITCH_TABLE.match(operand):
        return True
    # `previous` adds the table's address to the entry, into the register that is jumped to.
    return previous[0] == "add" and previous[1].endswith("," + operand.split()[0].lstrip("*"))


def find_indirect_calls(disassembly, references_by_section):
    """{section name: [offset]} of the indirect calls. `references_by_section`: {name: {offset: relocation type}}."""
    calls = {}
    section, previous = None, ("", "")
    for line in disassembly.splitlines():
        header = SECTION.match(line)
        if header:
            section, previous = header.group(1), ("", "")
            continue
        match = INSTRUCTION.match(line)
        if not match:
            continue
        offset, mnemonic, operand = int(match.group(1), 16), match.group(2), match.group(3)
        if mnemonic.startswith(("call", "jmp")) and operand.startswith("*"):
            relocations = references_by_section.get(section, {})
            # The operand's relocation stands in the last four of at most eight bytes.
            kinds = [relocations[offset + i] for i in range(1, 5) if offset + i in relocations]
            is_direct = "(%rip)" in operand and any(kind in GOT_RELOCATIONS for kind in kinds)
            if not is_direct and not is_switch(mnemonic, operand, previous):
                calls.setdefault(section, []).append(offset)
        previous = (mnemonic, operand)
    return calls


def disassemble(path):
    return subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], check=True, capture_output=True,
                          text=True).stdout


def indirect_calls_of(elf):
    """{section index: [offset]} for an ElfObject. Sections of one name (COMDAT groups) are told apart by disassembling
    only when their names are unique, which function sections are within an object."""
    by_name = {}
    for section in elf.sections.values():
        if section.is_code:
            by_name.setdefault(section.name, []).append(section)
    references = {name: {place: kind for section in sections for place, kind, _ in section.references}
                  for name, sections in by_name.items()}
    found = find_indirect_calls(disassemble(elf.path), references)
    return {section.index: offsets for name, offsets in found.items() for section in by_name.get(name, [])}
