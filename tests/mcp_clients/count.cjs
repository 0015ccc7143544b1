// How many tokens texts are, by o200k_base: a JSON list of texts on standard input, a list of numbers on standard output.
const { Tiktoken } = require("js-tiktoken/lite");
const ranks = require("js-tiktoken/ranks/o200k_base");
const tokenizer = new Tiktoken(ranks);
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(texts.map((text) => tokenizer.encode(text).length)));
