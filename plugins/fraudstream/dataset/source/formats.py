"""Recognises compression formats, and content that is not CSV: an error names it, with a command to convert it."""

import re
import shlex
from typing import NamedTuple
from zipfile import ZipFile, ZipInfo

from fraudstream.errors import WrongFormat

#: Supported compression formats by their first bytes.
PACKINGS = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
MAGIC_BYTES = 4
_UNPACK = {"gzip": "gzip -dc", "zstd": "zstd -dc"}
_SHOWN = 60
#: Longer names are cut: no message contains more than 200 characters of a file.
_LONGEST_MEMBER = 190


class Format(NamedTuple):
    """An unsupported format, and a shell filter that converts it to CSV; "": there is none."""

    name: str
    command: str = ""


_ORIGINAL = "download the original CSV"
_MAGIC = (
    (b"PAR1", Format("a Parquet file: DuckDB converts it, with COPY (FROM 'a.parquet') TO 'converted.csv'")),
    (b"BZh", Format("a bzip2 file", "bzip2 -d")),
    (b"\xfd7zXZ\x00", Format("an xz file", "xz -d")),
    (b"]\x00\x00", Format("an LZMA file", "xz -d --format=lzma")),
    (b"\x04\x22\x4d\x18", Format("an LZ4 file", "lz4 -d")),
    (b"\x1f\x9d", Format("a file of Unix compress", "gzip -d")),
    (b"7z\xbc\xaf\x27\x1c", Format("a 7z archive")),
    (b"Rar!", Format("a RAR archive")),
    (b"\xd0\xcf\x11\xe0", Format("an old Excel workbook (.xls)")),
    (b"ARROW1", Format("an Arrow or Feather file")),
    (b"ORC", Format("an ORC file")),
    (b"Obj\x01", Format("an Avro file")),
    (b"SQLite format 3", Format("an SQLite database")),
    (b"\x89HDF", Format("an HDF5 file")),
    (b"%PDF", Format("a PDF")),
    (b"\x80\x04\x95", Format("a Python pickle")),
    (b"\x80\x05\x95", Format("a Python pickle")),
    (b"RDX", Format("an R data file: write.csv(..., row.names = FALSE) makes a CSV of it")),
    (b"X\n\0\0", Format("an R data file: write.csv(..., row.names = FALSE) makes a CSV of it")),
    (b"\x89PNG", Format("a PNG image")),
    (b"\xff\xd8\xff", Format("a JPEG image")),
    (b"\x1f\x8b", Format("a gzip inside the packing", "gzip -d")),
    (b"PK\x03\x04", Format("a zip inside the packing")),
    (b"\x28\xb5\x2f\xfd", Format("a zstd file inside the packing")),
)
#: Pointer files of tools that store large files elsewhere, by a pattern of their beginning.
_POINTERS = (
    (rb"version https://git-lfs", Format("a Git LFS pointer, not the data itself: `git lfs pull` fetches the data")),
    (rb"/annex/objects/", Format("a git-annex pointer, not the data itself: `git annex get` fetches the data")),
    (rb"(?:\w+:.*\n)*outs:\s", Format("a DVC pointer, not the data itself: `dvc pull` fetches the data")),
)
_UTF8_MARK = b"\xef\xbb\xbf"
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
#: Other separators than commas: the name for messages, and the notation for sed.
_SEPARATORS = {
    b";": ("semicolons", ";"),
    b"\t": ("tabs", r"\t"),
    b"|": ("vertical bars", "|"),
    b"\x01": ("control characters (^A)", r"\x01"),
    b" ": ("spaces", "  *"),
}
_FEWEST_COLUMNS = 5
_DECIMAL_COMMA = rb"[0-9],[0-9]{1,2}(?![0-9])"
_THOUSANDS_COMMA = rb"[0-9],[0-9]{3}(?![0-9])"
_THOUSANDS_POINT = rb"(?<![0-9:.,])[0-9]{1,3}\.[0-9]{3}(?![0-9])"
_STEP_AND_TYPE = rb'"?step"?,"?(?:type|action)"?,'
_NAMED_ROW = rb'"?[^",]*"?,"?[0-9]+(?:\.0)?"?,"?[A-Z_]+"?,'
_HTML = rb"<(?:!doctype html|html|head|body|script|meta)\b"
#: Supported compression methods of zips: stored, deflate, bzip2, LZMA.
_ZIP_METHODS = {0, 8, 12, 14}


def packing_of(magic: bytes) -> str:
    """Returns how a source with these first bytes is compressed: a value of :data:`PACKINGS`, or "none"."""
    return next((packing for begin, packing in PACKINGS.items() if magic.startswith(begin)), "none")


def refuse_other_formats(head: bytes, uri: str, packing: str = "none", member: str = "") -> None:
    """Returns if a source may be a CSV in UTF-8 with commas.

    :param head: the beginning of the unpacked content
    :param member: in a zip, the name of the file that is read
    :raises WrongFormat: it has another format
    """
    content = head.removeprefix(_UTF8_MARK)
    found = _binary(content) or _pointer(content) or _text(content)
    if found is not None:
        raise WrongFormat(_message(uri, found, packing, member))


def _binary(head: bytes) -> Format | None:
    for begin, format_ in _MAGIC:
        if head.startswith(begin):
            return format_
    if head[257:262] == b"ustar":
        return Format("a tar archive", "tar -xOf -")
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return Format(f"text in {encoding}", f"iconv -f {encoding} -t UTF-8")
    begin = head[:1000]
    for encoding, zeros, others in (("UTF-16LE", begin[1::2], begin[::2]), ("UTF-16BE", begin[::2], begin[1::2])):
        if zeros and not zeros.strip(b"\0") and 0 not in others:
            return Format(f"text in {encoding}", f"iconv -f {encoding} -t UTF-8")
    line = head.partition(b"\n")[0]
    return Format("binary data") if b"\0" in line or _not_text(line) else None


def _not_text(line: bytes) -> bool:
    """Whether a first line can't be a header: it has control characters and bytes that are not UTF-8."""
    return bool(re.search(rb"[\x02-\x08\x0e-\x1a]", line)) and "\\x" in line.decode(errors="backslashreplace")


def _pointer(head: bytes) -> Format | None:
    begin = head.lstrip()[:1000]
    return next((pointer for pattern, pointer in _POINTERS if re.match(pattern, begin)), None)


def _text(head: bytes) -> Format | None:
    text = head.lstrip()
    begin = text[:1000].lower()
    if begin.startswith(b"<"):
        page = re.search(_HTML, begin)
        return Format(f"a web page, not the data itself: {_ORIGINAL} while logged in" if page else "XML")
    if begin[:1] in {b"{", b"["}:
        return Format("JSON")
    if begin.startswith(b"sep="):
        return Format("a CSV that begins with a spreadsheet's line sep=", "sed 1d")
    header, _, rows = text.partition(b"\n")
    if b"\r" in header.rstrip(b"\r") or (b"\r" in head and b"\n" not in head):
        return Format("text with carriage returns (CR) as line ends", r"tr '\r' '\n'")
    if _has_row_names(header, rows.partition(b"\n")[0]):
        return Format("a CSV with R's row names, for which its header has no column", "sed '1s/^/,/'")
    return _separated(header, rows)


def _has_row_names(header: bytes, first: bytes) -> bool:
    """Whether the first row begins with a field for which the header has no name."""
    step_and_type = re.match(_STEP_AND_TYPE, header.lower()) and re.match(_NAMED_ROW, first)
    return bool(step_and_type) and first.count(b",") == header.count(b",") + 1


def _separated(header: bytes, rows: bytes) -> Format | None:
    for separator, (name, escaped) in _SEPARATORS.items():
        if not header.count(separator) >= _FEWEST_COLUMNS > header.count(b","):
            continue
        if separator == b" " and b"amount" not in header.lower():
            continue  # a sentence, not a header
        first = rows.partition(b"\n")[0]
        # R writes no column name for the row names.
        unnamed = first.count(separator) == header.count(separator) + 1 and not first.rstrip(b"\r").endswith(separator)
        row_names = "; 1s/^/,/" if unnamed else ""
        command = f"s/{escaped}/,/g{row_names}"
        decimal, thousands = (re.search(comma, rows[:4000]) for comma in (_DECIMAL_COMMA, _THOUSANDS_COMMA))
        if decimal and thousands:
            return Format(f"a CSV with {name} instead of commas, and commas of several meanings in its numbers")
        if thousands:
            return Format(f"a CSV with {name} and commas between thousands", f"sed 's/,//g; {command}'")
        if decimal and re.search(_THOUSANDS_POINT, rows[:4000]):
            found = f"a CSV with {name}, decimal commas and points between thousands"
            return Format(found, f"sed 's/[.]//g; s/,/./g; {command}'")
        if re.search(rb"[0-9],[0-9]", rows[:4000]):
            return Format(f"a CSV with {name} and decimal commas", f"sed 's/,/./g; {command}'")
        return Format(f"a CSV with {name} instead of commas", f"sed '{command}'")
    return None


def _message(uri: str, found: Format, packing: str = "none", member: str = "") -> str:
    said = f"{uri} is {found.name}; expected a CSV in UTF-8 with commas, plain, gzip, zip or zstd. Nothing was sent"
    if not found.command:
        return said
    return f"{said}. To convert it: {conversion(uri, found.command, packing, member)}"


def conversion(uri: str, command: str, packing: str, member: str) -> str:
    """Returns a shell command that converts a source to CSV: it unpacks the source and applies the filter `command`."""
    out = _converted(uri)
    if packing == "zip":
        return f"{_unzipped(uri, member)} | {command} > {out}"
    commands = [part for part in (_UNPACK.get(packing), command) if part]
    if uri.startswith("gs://"):
        commands.insert(0, f"gcloud storage cat {shlex.quote(uri)}")
    else:
        commands[0] += f" < {shlex.quote(uri)}"
    return f"{' | '.join(commands)} > {out}"


def _converted(uri: str) -> str:
    """Returns the output file of a command: not its input, which may be the output of an earlier command."""
    return "converted2.csv" if uri.rsplit("/", 1)[-1] == "converted.csv" else "converted.csv"


def _unzipped(uri: str, member: str) -> str:
    """Returns a shell command that prints a file of a zip, which is local or in a bucket."""
    name = shlex.quote(_pattern(member[:_LONGEST_MEMBER]))
    if uri.startswith("gs://"):
        return f"gcloud storage cp {shlex.quote(uri)} . && unzip -p {shlex.quote(uri.rsplit('/', 1)[-1])} {name}"
    return f"unzip -p {shlex.quote(uri)} {name}"


def _pattern(member: str) -> str:
    """Returns a pattern for unzip that matches a file's name, without characters that unzip or terminals interpret."""
    escaped = "".join(character if character.isprintable() else "?" for character in member.replace("[", "[[]"))
    return f"[-]{escaped[1:]}" if escaped.startswith("-") else escaped


def only_csv(archive: ZipFile, uri: str) -> ZipInfo:
    """Returns the only CSV in a zip. Folders and files that operating systems add don't count.

    If no file is named .csv, a .txt file counts as the CSV, and if there is none, any file.

    :raises WrongFormat: the zip has none or several, or one that can't be read
    """
    members = [m for m in archive.infolist() if not m.is_dir() and not _added_by_system(m.filename)]
    names = {member.filename for member in members}
    if office := names & {"[Content_Types].xml", "content.xml"}:
        kind = "an Excel workbook" if "[Content_Types].xml" in office else "an OpenDocument spreadsheet"
        raise WrongFormat(_message(uri, Format(f"{kind}: {_ORIGINAL}, as spreadsheets round numbers")))
    tables = [member for member in members if member.filename.lower().endswith((".csv", ".txt"))]
    csvs = [member for member in tables if member.filename.lower().endswith(".csv")] or tables or members
    if len(csvs) != 1:
        shown = ", ".join(_pattern(name[:_SHOWN]) for name in sorted(member.filename for member in csvs)[:3])
        raise WrongFormat(
            f"{uri} is a zip of {len(csvs)} files{f' ({shown})' if shown else ''}, expected one CSV in it. Nothing was "
            f"sent. To take one out: {_unzipped(uri, 'NAME')} > {_converted(uri)}"
        )
    command = f"{_unzipped(uri, csvs[0].filename)} > {_converted(uri)}"
    if csvs[0].flag_bits & 1:
        raise WrongFormat(
            f"{uri} is an encrypted zip, expected one without a password. Nothing was sent. To decrypt it: {command}"
        )
    if csvs[0].compress_type not in _ZIP_METHODS:
        raise WrongFormat(
            f"{uri} is a zip with compression method {csvs[0].compress_type}, expected stored, deflate, bzip2 or LZMA. "
            f"Nothing was sent. To unpack it: {command}"
        )
    return csvs[0]


def _added_by_system(name: str) -> bool:
    last = name.rsplit("/", 1)[-1]
    return name.startswith("__MACOSX/") or last.startswith(".") or last in {"Thumbs.db", "desktop.ini"}
