"""What stands in a file's place and is no file: pipes, devices, links in a circle. Nothing may wait for them."""

from broken_files import config_row, link, pipe, processor_row, remove, tokenizer_row, weights_row


def in_place_of(name, other, make):
    """Without the one file the other is read."""

    def mutate(folder):
        remove(name)(folder)
        make(other)(folder)

    return mutate


def circle(name):
    return link(name, name)


def device(name):
    return link(name, "/dev/zero")


SPECIAL_TABLE = [
    config_row("a_pipe", pipe("config.json")),
    config_row("generation_config_circle", circle("generation_config.json"), file="generation_config.json"),
    weights_row("circle", circle("model.safetensors")),
    weights_row("device", device("model.safetensors")),
    tokenizer_row("a_pipe", pipe("tokenizer.json")),
    tokenizer_row("circle", circle("tokenizer.json")),
    tokenizer_row("config_device", device("tokenizer_config.json"), file="tokenizer_config.json"),
    tokenizer_row("config_a_pipe", pipe("tokenizer_config.json"), file="tokenizer_config.json"),
    tokenizer_row("template_a_pipe", pipe("chat_template.jinja"), file="chat_template.jinja"),
    tokenizer_row("model_circle", in_place_of("tokenizer.json", "tokenizer.model", circle), file="tokenizer.model"),
    tokenizer_row("vocabulary_a_pipe", in_place_of("tokenizer.json", "vocab.json", pipe), file="vocab.json"),
    processor_row("a_pipe", pipe("preprocessor_config.json")),
    processor_row("device", device("preprocessor_config.json")),
]
