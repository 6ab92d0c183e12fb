"""Text rules in front of the classifier: the Python twin of `src/classifier/normalise.rs`.

Both sides must agree on every line of `normaliser_vectors.json`; `python normaliser.py` checks this side, `cargo test
normalise` the other. Change a rule in both, add a vector, train again: the model has only ever seen normalised text.
"""

import json
import sys
from pathlib import Path

DIGITS = {
    "zero": "0", "oh": "0", "one": "1", "two": "2", "three": "3", "four": "4",
    "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
}
# Names that a recogniser writes as two or three words. Longest first.
COMPOUNDS = [
    ("go to assist", "gotoassist"), ("go to meeting", "gotomeeting"), ("go to my pc", "gotomypc"), ("log me in", "logmein"),
    ("any desk", "anydesk"), ("any desks", "anydesk"), ("any disk", "anydesk"), ("and he desk", "anydesk"),
    ("team viewer", "teamviewer"), ("team view", "teamviewer"), ("ultra viewer", "ultraviewer"),
    ("alpha viewer", "ultraviewer"), ("rust desk", "rustdesk"), ("screen connect", "screenconnect"),
    ("connect wise", "connectwise"), ("quick support", "quicksupport"), ("fast support", "fastsupport"),
    ("support me", "supportme"), ("aero admin", "aeroadmin"), ("splash top", "splashtop"), ("event vwr", "eventvwr"),
    ("event viewer", "eventviewer"), ("event viewers", "eventviewer"), ("net stat", "netstat"), ("pay pal", "paypal"),
    ("bit coin", "bitcoin"), ("what's app", "whatsapp"), ("whats app", "whatsapp"), ("ms config", "msconfig"),
    ("sys key", "syskey"), ("key logger", "keylogger"), ("fire wall", "firewall"), ("mal ware", "malware"),
    ("pass code", "passcode"), ("pass word", "password"), ("dot com", "dotcom"), ("dot net", "dotnet"),
]
COMPOUNDS = sorted(((tuple(k.split()), v) for k, v in COMPOUNDS), key=lambda kv: -len(kv[0]))
# Two single letters that hold "a" or "i" are more often words ("plan B I think") than an abbreviation.
PAIRS_WITH_VOWEL_WORD = {"id", "ip", "it", "ai", "ac"}
SYMBOLS = {"+": " plus ", "@": " at ", "%": " percent ", "&": " and ", "*": " star ", "#": " hash "}
CURRENCY = {"$": "dollars", "£": "pounds", "€": "euros"}
MAX_MASK = 8


def normalise(text: str) -> str:
    """The words the classifier reads: lower case, no punctuation, spelled words and split names joined, numbers masked."""
    tokens = split_words(text)
    tokens = join_spelled(drop_spelling_aids(tokens))
    tokens = join_digits(tokens)
    tokens = join_compounds(tokens)
    return " ".join(mask(t) for t in tokens)


def split_words(text: str) -> list[str]:
    chars = [fold(c) for c in text.lower()]
    out, currency = [], None
    for i, c in enumerate(chars):
        if c in CURRENCY:
            out.append(" ")
            currency = CURRENCY[c]
            continue
        if c.isalnum():
            out.append(c)
        elif c == "'" and is_alnum(chars, i - 1) and is_alnum(chars, i + 1):
            out.append(c)
        elif c == "." and is_alnum(chars, i - 1) and is_letter(chars, i + 1) and is_letter(chars, i + 2):
            out.append(" dot ")
        elif c in ".," and is_digit(chars, i - 1) and is_digit(chars, i + 1):
            pass
        else:
            out.append(SYMBOLS.get(c, " "))
        if currency and is_digit(chars, i) and not continues_number(chars, i + 1):
            out.append(" " + currency + " ")
            currency = None
    return "".join(out).split()


def fold(c: str) -> str:
    return "'" if c in "’‘`" else c


def is_alnum(chars, i):
    return 0 <= i < len(chars) and chars[i].isalnum()


def is_letter(chars, i):
    return 0 <= i < len(chars) and chars[i].isalpha()


def is_digit(chars, i):
    return 0 <= i < len(chars) and "0" <= chars[i] <= "9"


def continues_number(chars, i):
    return is_digit(chars, i) or (i < len(chars) and chars[i] in ".," and is_digit(chars, i + 1))


def is_spelled(token: str) -> bool:
    return len(token) == 1 and "a" <= token <= "z"


def drop_spelling_aids(tokens: list[str]) -> list[str]:
    """ "v as in victoria", "v for victor" -> "v"."""
    out, i = [], 0
    while i < len(tokens):
        out.append(tokens[i])
        i += 1 + aid_length(tokens, i, out)
    return out


def aid_length(tokens, i, out) -> int:
    letter = tokens[i]
    if not is_spelled(letter):
        return 0
    def names(k):
        return k < len(tokens) and len(tokens[k]) >= 3 and tokens[k].startswith(letter)
    if tokens[i + 1 : i + 3] == ["as", "in"] and names(i + 3):
        return 3
    beside = (len(out) > 1 and is_spelled(out[-2])) or (i + 3 < len(tokens) and is_spelled(tokens[i + 3]))
    if tokens[i + 1 : i + 2] == ["for"] and names(i + 2) and (letter not in "ai" or beside):
        return 2
    return 0


def join_spelled(tokens: list[str]) -> list[str]:
    """ "e v e n t" -> "event"."""
    out, i = [], 0
    while i < len(tokens):
        j = i
        while j < len(tokens) and is_spelled(tokens[j]):
            j += 1
        run = tokens[i:j]
        if len(run) >= 3 and run[-1] in "ai" and j < len(tokens):
            run = run[:-1]
        word = "".join(run)
        if len(run) >= 3 or (len(run) == 2 and (not set(word) & set("ai") or word in PAIRS_WITH_VOWEL_WORD)):
            out.append(word)
            i += len(run)
        elif run:
            out.append(run[0])
            i += 1
        else:
            out.append(tokens[i])
            i += 1
    return out


def join_digits(tokens: list[str]) -> list[str]:
    """ "four five three two" -> "4532"; fewer than three digit words stay words."""
    out, i = [], 0
    while i < len(tokens):
        j, number = i, ""
        while j < len(tokens) and (d := digit_of(tokens[j])) is not None:
            number += d
            j += 1
        if j - i >= 3:
            out.append(number)
            i = j
        else:
            out.append(tokens[i])
            i += 1
    return out


def digit_of(token: str):
    if len(token) == 1 and "0" <= token <= "9":
        return token
    return DIGITS.get(token)


def join_compounds(tokens: list[str]) -> list[str]:
    out, i = [], 0
    while i < len(tokens):
        for words, joined in COMPOUNDS:
            if tuple(tokens[i : i + len(words)]) == words:
                out.append(joined)
                i += len(words)
                break
        else:
            out.append(tokens[i])
            i += 1
    return out


def mask(token: str) -> str:
    """Numbers of four digits and more say only that they are long: no number is ever learned by heart."""
    if len(token) >= 4 and all("0" <= c <= "9" for c in token):
        return "0" * min(len(token), MAX_MASK)
    return token


def main() -> int:
    vectors = json.loads((Path(__file__).parent / "normaliser_vectors.json").read_text(encoding="utf-8"))
    bad = [(v, normalise(v["text"])) for v in vectors if normalise(v["text"]) != v["normalised"]]
    for vector, got in bad:
        print(f"{vector['text']!r}\n  expected {vector['normalised']!r}\n  got      {got!r}")
    print(f"{len(vectors) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
