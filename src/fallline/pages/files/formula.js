// A formula of x and y as a person types it: math.js parses and differentiates it, and what that leaves is computed
// here, node by node. Nothing of it ever runs as a program. The language is that of fallline.landscape.Formula.

const LENGTH = 200;
const DEPTH = 6;
const LARGEST = 1e100;
const EXPONENT = 64;
const COORDINATES = ["x", "y"];
const MISSING = "a number, x, y, a function or a bracket is missing";
const {abs, cos, cosh, exp, log, sin, sqrt, tan, tanh} = Math;
const FUNCTIONS = {sin, cos, tan, exp, log, sqrt, tanh, abs};
// What derivatives of those are made of, too.
const INSIDE = {...FUNCTIONS, sec: (x) => 1 / cos(x), sech: (x) => 1 / cosh(x)};
const NUMBERS = {pi: Math.PI, e: Math.E};
const OPERATORS = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
  "^": (a, b) => a ** b,
};
const side = (x) => (x < 0 || Object.is(x, -0) ? -1 : 1);

export class FormulaError extends Error {}

let loading;

/** math.js from the file beside this one, which is fetched when it is first asked for. */
export function mathjs() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("math.js", import.meta.url).href;
    script.onload = () => resolve(globalThis.math);
    script.onerror = () => reject(new FormulaError("math.js can't be fetched, which reads formulas"));
    document.head.append(script);
  });
  return loading;
}

/**
 * Reads a formula with math.js: `uses` says which of x and y it names; `value(x, y)` is its height, `slope(x, y)` has
 * the slopes along x and y behind it, `hessian(x, y)` is the second derivatives by xx, xy and yy, NaN where there is
 * none. Throws a FormulaError whose message is a sentence that says where it can't be read.
 */
export function formula(text, math) {
  const node = read(text, math);
  const sides = new Map();
  const by = (of, name) => sided(math.derivative(of, name, {simplify: false}), math, sides);
  const first = [by(node, "x"), by(node, "y")];
  // Of a long product they take seconds, and most paths ask for none.
  let second;
  const hessian = (x, y) => {
    second ??= together([by(first[0], "x"), by(first[0], "y"), by(first[1], "y")], sides);
    return second(x, y);
  };
  const uses = COORDINATES.filter((name) => node.filter((part) => part.isSymbolNode && part.name === name).length > 0);
  return {uses, value: computed(node), slope: together([node, ...first], sides), hessian};
}

/**
 * math.js differentiates abs(u) to abs(u)/u, which is no number where u is 0: instead a symbol, whose own derivative is
 * 0, for which side u is on; `sides` has the functions of such symbols.
 */
function sided(node, math, sides) {
  return node.transform((part) => {
    if (!part.isOperatorNode || part.op !== "/") return part;
    const [above, below] = part.args;
    if (!above.isFunctionNode || above.fn.name !== "abs" || above.args[0].toString() !== below.toString()) return part;
    const [name, inner] = [`side${sides.size}`, computed(below, sides)];
    sides.set(name, (x, y) => side(inner(x, y)));
    return new math.SymbolNode(name);
  });
}

function together(nodes, sides) {
  const functions = nodes.map((node) => computed(node, sides));
  return (x, y) => {
    const found = functions.map((part) => part(x, y));
    return found.every(Number.isFinite) ? found : [NaN, NaN, NaN];
  };
}

function refuse(place, what) {
  throw new FormulaError(`at character ${place}: ${what}`);
}

function read(text, math) {
  if (text.length > LENGTH) {
    throw new FormulaError(`the formula has ${text.length} characters; give one of at most ${LENGTH}`);
  }
  const strange = /[^\w.+\-*/()\s]/u.exec(text);
  if (strange) {
    const power = strange[0] === "^" ? "; a power is written **" : "";
    refuse(strange.index + 1, `'${strange[0]}' has no meaning here${power}`);
  }
  for (const {0: name, index} of text.matchAll(/(?<![\w.])[A-Za-z_]\w*/g)) {
    if (!COORDINATES.includes(name) && !Object.hasOwn(NUMBERS, name) && !Object.hasOwn(FUNCTIONS, name)) {
      const known = [...COORDINATES, ...Object.keys(NUMBERS), ...Object.keys(FUNCTIONS)].join(", ");
      refuse(index + 1, `there is no '${name}'; there are ${known}`);
    }
  }
  const mixed = /(?<![\w.])\d[\d.]*(?![eE][+-]?\d)[A-Za-z_]/.exec(text);
  if (mixed) refuse(mixed.index + mixed[0].length, "an operator is missing");
  if (!text.trim()) refuse(1, MISSING);
  // Each character stays at its place. To math.js a point behind a number would belong to the operator after it.
  const plain = text.replace(/\s/g, " ").replaceAll("**", " ^").replace(/(?<=\d)\.(?!\d)/g, " ");
  let node;
  try {
    node = math.parse(plain);
  } catch (error) {
    const place = error.char ?? 1;
    const extra = `there is '${text[place - 1]}' where the formula could end`;
    const closing = "a closing bracket ) is missing";
    const words = {"Unexpected operator": extra, "Unexpected part": extra, Parenthesis: closing};
    refuse(place, Object.entries(words).find(([said]) => error.message.startsWith(said))?.[1] ?? MISSING);
  }
  check(node);
  return node;
}

/** Refuses what math.js can read, and this language has not: innermost parts first. */
function check(node, depth = 0) {
  const say = (what) => {
    throw new FormulaError(what);
  };
  if (node.implicit) say(`an operator is missing in ${written(node)}`);
  if (depth > DEPTH) say(`brackets, signs and powers lie more than ${DEPTH} deep in each other`);
  if (node.isParenthesisNode) return check(node.content, depth + 1);
  if (node.isConstantNode) {
    if (typeof node.value !== "number") say(`${written(node)} has no meaning here`);
    if (!(abs(node.value) <= LARGEST)) say(`${written(node)} is no number of at most ${LARGEST}`);
    return;
  }
  if (node.isSymbolNode) {
    if (Object.hasOwn(FUNCTIONS, node.name)) say(`${node.name} must be followed by brackets, as in ${node.name}(x)`);
    return;
  }
  const called = node.isFunctionNode && Object.hasOwn(FUNCTIONS, node.fn.name) && node.args.length === 1;
  const operates = node.isOperatorNode && Object.hasOwn(OPERATORS, node.op);
  if (!called && !operates) say(`${written(node)} has no meaning here`);
  const deeper = node.args.length === 1 ? depth + 1 : depth;
  node.args.forEach((part, index) => check(part, node.op === "^" && index === 1 ? depth + 1 : deeper));
  if (node.op !== "^") return;
  const [base, exponent] = node.args;
  if (varies(exponent)) {
    if (varies(base) || !(computed(base)() > 0)) {
      say(`in ${written(node)} the exponent must be a number, or what it stands on a positive number`);
    }
  } else if (!(abs(computed(exponent)()) <= EXPONENT)) {
    say(`in ${written(node)} the exponent is too large; it may be at most ${EXPONENT}`);
  }
}

const varies = (node) => node.filter((part) => part.isSymbolNode && COORDINATES.includes(part.name)).length > 0;
const written = (node) => node.toString().replaceAll("^", "**");

/** A function of x and y from a node of math.js's. */
function computed(node, sides) {
  if (node.isParenthesisNode) return computed(node.content, sides);
  if (node.isConstantNode) return constant(Number(node.value));
  if (node.isSymbolNode) {
    if (node.name === "x") return (x) => x;
    if (node.name === "y") return (x, y) => y;
    return sides?.get(node.name) ?? constant(NUMBERS[node.name]);
  }
  const [first, second] = node.args.map((part) => computed(part, sides));
  if (node.isFunctionNode) {
    const inside = INSIDE[node.fn.name];
    return (x, y) => inside(first(x, y));
  }
  if (!second) return node.op === "-" ? (x, y) => -first(x, y) : first;
  const operator = OPERATORS[node.op];
  return (x, y) => operator(first(x, y), second(x, y));
}

const constant = (value) => () => value;
