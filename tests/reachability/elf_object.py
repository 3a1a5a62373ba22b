"""Reads a 64-bit little-endian ELF relocatable object: its sections, its symbols, and what each section refers to.

Compiled with -ffunction-sections and -fdata-sections every function and every table is a section of its own, so the
relocations of a section are the calls, the taken addresses and the tables of one function.
"""
import struct
from dataclasses import dataclass, field

SHT_SYMTAB, SHT_RELA, SHT_NOBITS = 2, 4, 8
SHF_ALLOC, SHF_EXECINSTR = 2, 4
STB_LOCAL = 0
STT_FUNC, STT_SECTION = 2, 3
SHN_UNDEF, SHN_LORESERVE = 0, 0xFF00

# Relocations of x86-64 that load an entry of the global offset table: `call *name@GOTPCREL(%rip)` is a direct call.
GOT_RELOCATIONS = {9, 41, 42}


class ObjectError(Exception):
    """The file is not an object that can be read, or was compiled with other flags; says what to do."""


@dataclass
class Symbol:
    name: str
    section: int  # SHN_UNDEF: defined elsewhere
    kind: int
    is_local: bool
    offset: int


@dataclass
class Section:
    index: int
    name: str
    is_code: bool
    size: int
    functions: list = field(default_factory=list)   # symbols of functions in it
    references: list = field(default_factory=list)  # (offset, relocation type, Symbol)


class ElfObject:
    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.data = file.read()
        if self.data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", self.data, 16)[0] != 1:
            raise ObjectError(f"{path} is no 64-bit little-endian object file (a program, an archive, or LTO output?)")
        headers = self._section_headers()
        self.sections = {}
        for index, (name, kind, flags, _, size, _, _) in enumerate(headers):
            if flags & SHF_ALLOC:
                is_code = bool(flags & SHF_EXECINSTR) and kind != SHT_NOBITS
                self.sections[index] = Section(index, name, is_code, size)
        self.symbols = []
        for name, kind, _, offset, size, link, _ in headers:
            if kind == SHT_SYMTAB:
                self._read_symbols(headers, offset, size, link)
        for name, kind, _, offset, size, _, info in headers:
            if kind == SHT_RELA and info in self.sections:
                self._read_references(self.sections[info], offset, size)
        self._require_function_sections()

    def _section_headers(self):
        table, = struct.unpack_from("<Q", self.data, 40)
        entry_size, count, names_index = struct.unpack_from("<HHH", self.data, 58)
        if count == 0:  # more than fit into the header: the number stands in the first section
            count, = struct.unpack_from("<Q", self.data, table + 32)
        raw = [struct.unpack_from("<IIQQQQII", self.data, table + i * entry_size) for i in range(count)]
        if names_index == 0xFFFF:
            names_index = raw[0][6]
        names = raw[names_index][4]
        return [(self._string(names + name), kind, flags, offset, size, link, info)
                for name, kind, flags, _, offset, size, link, info in raw]

    def _string(self, offset):
        return self.data[offset:self.data.index(b"\0", offset)].decode("utf-8", "replace")

    def _read_symbols(self, headers, offset, size, link):
        strings = headers[link][3]
        for name, info, _, section, value, _ in struct.iter_unpack("<IBBHQQ", self.data[offset:offset + size]):
            kind = info & 0xF
            if section >= SHN_LORESERVE:
                section = SHN_UNDEF
            symbol = Symbol(self._string(strings + name), section, kind, info >> 4 == STB_LOCAL, value)
            self.symbols.append(symbol)
            if kind == STT_FUNC and section in self.sections:
                self.sections[section].functions.append(symbol)

    def _read_references(self, section, offset, size):
        for place, info, _ in struct.iter_unpack("<QQq", self.data[offset:offset + size]):
            section.references.append((place, info & 0xFFFFFFFF, self.symbols[info >> 32]))

    # Calls inside one section leave no relocation, so several functions in one section would hide them.
    def _require_function_sections(self):
        for section in self.sections.values():
            if section.is_code and section.name == ".text" and section.size:
                names = sorted({symbol.name for symbol in section.functions})
                raise ObjectError(f"{self.path}: {len(names)} functions ({', '.join(names[:3])} ...) share the section "
                                  ".text; compile with -ffunction-sections -fdata-sections")
