"""Other people in the same call: names, greetings, forms of address and thanks of many places, put into dialogues of both
kinds alike, so that who speaks tells the model nothing."""

import random
import re

from corpus import Turn

FIRST = """amaka aisha ali ana andrei anjali anna arjun beatriz bola brenda carlos chen chidi colin deepak dmitri dolores donna elena emeka
emily erik esther fatou fiona gary giulia grace hamza hannah hassan heather hiroshi ingrid isabel ivan jack jamal jane jorge karen kavita keisha
kenji kevin kofi kwame lakshmi lars layla liam linda luis magda mandla maria marek margaret mehmet mei miguel mohammed monique nadia naomi nia
nigel nikos nkechi noor olga oluwaseun omar padma pablo pat paul pierre priya rahul ravi rosa ruth sanjay sean shanice siobhan sofia stella
steve sunita susan tariq tendai thabo tomas trevor usha vikram wanjiru wei william xiu yasmin yusuf zainab zoe""".split()
LAST = """abebe achebe ahmed ali andersson banerjee bell bianchi boateng brown campbell castillo chukwu cohen cruz davies diaz dlamini dubois evans
fernandez flynn garcia goldberg green gupta haddad hall hassan hughes ibrahim ivanov jackson jensen johnson joseph kamau kapoor khan kim kowalczyk
kumar le lee levy lopez macdonald malik martin mbeki mensah miller mohamed moore morales murphy musa nair nguyen novak obrien okeke oliveira
osei park patel pereira petrov popescu qureshi ramirez rao reddy reid rossi ryan sato schmidt sharma silva singh smith sithole stewart suzuki tan
taylor thompson tran turner varga walker wang watanabe weber williams wilson wu yilmaz young zhou""".split()
# Greeting, address, thanks or farewell.
MANNERS = [
    (["hello", "good morning", "hi there"], ["sir", "madam", "ma'am"], ["thank you", "thanks very much"]),
    (["namaste", "hello ji", "good afternoon"], ["sir ji", "madam ji", "ma'am", "uncle", "auntie"], ["thank you so much", "dhanyavaad"]),
    (["good day", "good morning o", "how far"], ["ma", "sir", "my brother", "my sister", "mummy"], ["god bless you", "well done", "thank you o"]),
    (["alright", "hiya", "morning"], ["love", "mate", "pet", "duck", "darling", "my lovely"], ["cheers", "ta", "ta ra", "lovely"]),
    (["how are ye", "hullo", "good evening"], ["hen", "pal", "laddie", "now", "so it is"], ["thanks a million", "cheerio", "slan"]),
    (["g'day", "hey", "hi"], ["mate", "love", "darl"], ["no worries", "too easy", "good on ya"]),
    (["hey y'all", "howdy", "good evening"], ["hon", "sweetie", "sugar", "boss", "dear"], ["bless your heart", "much obliged", "have a blessed day"]),
    (["hola", "buenas", "good afternoon"], ["senora", "senor", "amigo", "mija"], ["gracias", "thank you very much", "god willing"]),
    (["salaam", "assalamu alaikum", "good evening"], ["sister", "brother", "uncle", "habibi"], ["inshallah", "thank you", "mashallah"]),
    (["hello hello", "wei", "good morning la"], ["miss", "mister", "boss", "auntie"], ["thank you ah", "okay la", "thanks"]),
    (["wah gwaan", "good night", "hello"], ["darling", "my dear", "sis", "boss"], ["bless up", "thanks eh", "respect"]),
    (["sawubona", "hello", "good day"], ["my friend", "mama", "baba", "my sister"], ["thank you neh", "shap", "go well"]),
]
INTRODUCED = re.compile(
    r"\b(?:[Mm]rs?|[Mm]s|[Mm]iss|[Oo]fficer|[Ss]ergeant|[Dd]r|[Tt]his is|[Nn]ame is|[Nn]ame's|[Ss]peaking with|[Ss]peak to|[Ss]peak with|[Ii]t's|[Ii]s that|[Hh]ello|[Hh]i|[Tt]hanks|[Tt]hank you),?\.? "
    r"((?:[A-Z][a-z]+ ?){1,2})")
# Capitalised words that such a phrase may run into and that are nobody's name.
NOBODY = set("""the a an i i'm it it's is this that we you your my our good hello hi yes no okay ok thank thanks may am are can could would microsoft windows
amazon apple google paypal visa mastercard norton mcafee social security internal revenue bank british telecom police what how who when where why from about
monday tuesday wednesday thursday friday saturday sunday mr mrs ms miss dr officer sergeant sir madam john's saint st royal national so and in if dad mum
constable deputy detective captain immigration customs grandma grandpa nan""".split())


def exchange(turns: list[Turn], written: list[str], rng: random.Random) -> list[Turn]:
    """The normalised turns with other names and manners; `written` is what was said before it was normalised."""
    names = {word.lower() for text in written for found in INTRODUCED.findall(text) for word in found.split()}
    mapping = {name: rng.choice(FIRST if rng.random() < 0.5 else LAST) for name in sorted(names - NOBODY)}
    greetings, addresses, thanks = rng.choice(MANNERS)
    out, last = [], len(turns) - 1
    for number, turn in enumerate(turns):
        words = [mapping.get(word, word) for word in turn.text.split()]
        if turn.speaker != "callee" and words:
            if number < 2 and rng.random() < 0.5:
                words = [*rng.choice(greetings).split(), *words]
            if rng.random() < 0.25:
                words = [*words, *rng.choice(addresses).split()]
            elif rng.random() < 0.08:
                words = [*rng.choice(addresses).split(), *words]
            if rng.random() < (0.4 if number >= last - 1 else 0.08):
                words = [*words, *rng.choice(thanks).split()] if rng.random() < 0.6 else [*rng.choice(thanks).split(), *words]
        out.append(Turn(turn.speaker, " ".join(words), turn.stages))
    return out
