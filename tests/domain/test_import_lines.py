"""The lines of an import: what is good, and every bad one named with its number and all that is wrong."""

import io

import pytest

from service.domain.import_lines import BadLine, Line, NotAnImport, read_lines

HEADER = "customer_email,device_identifier,device_type\n"
EMAIL = "customer_email must be an e-mail address such as name@example.com"


def read(text: str | bytes) -> list[Line | BadLine]:
    """Reads a file as the command does."""
    raw = text.encode() if isinstance(text, str) else text
    return list(read_lines(io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", newline="")))


def told(text: str | bytes) -> list[tuple[int, str]]:
    """Gives the numbers and problems of the bad lines, and `good` for the others."""
    return [(line.number, line.problem if isinstance(line, BadLine) else "good") for line in read(text)]


def test_a_line_says_who_has_which_device_of_what_type() -> None:
    (line,) = read(HEADER + "Ada@Example.com,SN-1,thermostat\n")
    assert isinstance(line, Line)
    assert (line.number, line.customer.given, line.customer.key) == (2, "Ada@Example.com", "ada@example.com")
    assert (line.identifier, line.device_type) == ("SN-1", "thermostat")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way_and_the_last_need_not(end: str) -> None:
    assert told(end.join([HEADER.strip(), "a@b.de,1,t", "a@b.de,2,t"])) == [(2, "good"), (3, "good")]


def test_the_columns_may_come_in_any_order() -> None:
    (line,) = read("device_type,customer_email,device_identifier\nt,a@b.de,1\n")
    assert isinstance(line, Line)
    assert (line.customer.given, line.identifier, line.device_type) == ("a@b.de", "1", "t")


@pytest.mark.parametrize("header", [HEADER, '"customer_email","device_identifier","device_type"\n'])
def test_a_byte_order_mark_is_left_out(header: str) -> None:
    assert told(b"\xef\xbb\xbf" + header.encode() + b"a@b.de,1,t\n") == [(2, "good")]


def test_white_space_around_a_value_is_left_out() -> None:
    (line,) = read("customer_email , device_identifier,device_type\n a@b.de ,\u3000SN 1\xa0,\tt \n")
    assert isinstance(line, Line)
    assert (line.customer.given, line.identifier, line.device_type) == ("a@b.de", "SN 1", "t")


def test_a_quoted_value_keeps_its_commas_and_quotes() -> None:
    (line,) = read(HEADER + 'a@b.de,"x,""y""",t\n')
    assert isinstance(line, Line)
    assert line.identifier == 'x,"y"'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nobody,1,t", EMAIL),
        (",1,t", EMAIL),
        ("a@b.de,,t", "device_identifier must not be empty"),
        ("a@b.de,1,", "device_type must not be empty"),
        ("a@b.de,1, ", "device_type must not be empty"),
        (f"a@b.de,{'x' * 256},t", "device_identifier must have at most 255 characters"),
        ("a@b.de,a\0b,t", "device_identifier must not contain control characters"),
        ("a@b.de,1,t\x07t", "device_type must not contain control characters"),
        ("a\0@b.de,1,t", EMAIL),
        ("a@b.de,1", "has 2 values instead of 3"),
        ("a@b.de,1,t,x", "has 4 values instead of 3"),
        ("a@b.de", "has 1 values instead of 3"),
        ("nobody,,", f"{EMAIL}; device_identifier must not be empty; device_type must not be empty"),
    ],
)
def test_a_bad_line_is_named_with_all_that_is_wrong_and_the_others_stay_good(line: str, problem: str) -> None:
    assert told(f"{HEADER}a@b.de,0,t\n{line}\na@b.de,2,t\n") == [(2, "good"), (3, problem), (4, "good")]


def test_a_device_with_a_second_type_makes_the_later_line_bad() -> None:
    text = HEADER + "a@b.de,1,t\nb@b.de,1,t\nb@b.de,1,T\nb@b.de,2,T\na@b.de,2,t\n"
    assert told(text) == [
        (2, "good"),
        (3, "good"),
        (4, "device_type differs from the device's type on line 2"),
        (5, "good"),
        (6, "device_type differs from the device's type on line 5"),
    ]


def test_the_type_on_a_line_that_is_bad_anyway_binds_no_other_line() -> None:
    assert told(HEADER + "nobody,1,x\na@b.de,1,t\n") == [(2, EMAIL), (3, "good")]


def test_numbers_count_the_lines_of_the_file_with_empty_ones_and_those_inside_quotes() -> None:
    text = HEADER + '\na@b.de,"1\n2\n3",t\n\r\na@b.de,4,\n'
    assert told(text) == [
        (5, "device_identifier must not contain control characters"),
        (7, "device_type must not be empty"),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a@b.de,1,t\n", "customer_email,device_identifier\n", "customer_email,device_identifier,type\n",
     HEADER.strip() + ",more\n", HEADER.upper(), HEADER.replace(",", ";"), "customer_email,device_type,device_type\n"],
)  # fmt: skip
def test_a_file_without_the_header_is_refused(text: str) -> None:
    with pytest.raises(NotAnImport, match="the first line must name the columns customer_email,device_identifier,"):
        read(text)


def test_a_file_with_nothing_but_the_header_has_no_lines() -> None:
    assert read(HEADER) == []


@pytest.mark.parametrize("text", [b"a@b.de,\xff,t\n", "a@b.de,ü,t\n".encode("latin-1"), b"a@b.de,\xed\xa0\x80,t\n"])
def test_a_file_that_is_not_utf_8_is_refused(text: bytes) -> None:
    with pytest.raises(NotAnImport, match="not UTF-8 text"):
        read(HEADER.encode() + text)
    with pytest.raises(NotAnImport, match="not UTF-8 text"):
        read(text)


def test_utf_16_is_refused() -> None:
    with pytest.raises(NotAnImport, match="not UTF-8 text"):
        read(HEADER.encode("utf-16"))


def test_broken_quoting_is_refused_with_its_line() -> None:
    with pytest.raises(NotAnImport, match="line 3: "):
        read(HEADER + 'a@b.de,1,t\na@b.de,"2"x,t\n')
    with pytest.raises(NotAnImport, match="line 3: unexpected end of data"):
        read(HEADER + 'a@b.de,1,t\na@b.de,"2,t\n')
