def split_refusal(refusal: str) -> tuple[str, str]:
    """Split msgspec's ``Expected `int`, got `str` - at `$[2].a``` into sentence and path."""
    refusal = refusal.replace(" - at `key` in `$", " as a key - at `$")
    sentence, _, path = refusal.partition(" - at `$")
    sentence = sentence.replace("`", "'")
    return sentence[0].lower() + sentence[1:], path.rstrip("`")
