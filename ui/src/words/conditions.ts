// Conditions of the filter language (docs/filters.md): to add them to a filter, and to turn them round.

const FIELDS = new Set(
  "status duration time method path route outcome error service release host id request_id since until".split(" "),
);
const OPPOSITES: Record<string, string> = {
  "=": "!=",
  "!=": "=",
  "~": "!~",
  "!~": "~",
  ">": "<=",
  ">=": "<",
  "<": ">=",
  "<=": ">",
};
const NAME = /^[^\s=!<>~,]+/;
const OPERATOR = /^(!=|!~|>=|<=|=|~|>|<)/;

/** The conditions of a filter, each as it was typed. */
export function conditionsOf(filter: string): string[] {
  return pieces(filter).map(([begin, end]) => filter.slice(begin, end));
}

/** The condition in which the caret stands, or an empty one at the caret. */
export function conditionAt(filter: string, caret: number): [number, number] {
  return pieces(filter).find(([begin, end]) => begin <= caret && caret <= end) ?? [caret, caret];
}

export function withCondition(filter: string, condition: string): string {
  const conditions = conditionsOf(filter);
  return conditions.includes(condition) ? filter.trim() : [...conditions, condition].join(" ");
}

export function withoutCondition(filter: string, condition: string): string {
  return conditionsOf(filter)
    .filter((each) => each !== condition)
    .join(" ");
}

/** What holds if the condition does not. */
export function opposite(condition: string): string {
  const { name, operator, value } = partsOf(condition);
  return operator ? `${name}${OPPOSITES[operator]}${value}` : condition;
}

export function partsOf(condition: string): { name: string; operator: string; value: string } {
  const name = NAME.exec(condition)?.[0] ?? "";
  const operator = OPERATOR.exec(condition.slice(name.length))?.[0] ?? "";
  return { name, operator, value: condition.slice(name.length + operator.length) };
}

/** The condition that selects this value; null is no value. */
export function equals(name: string, value: unknown): string {
  return value === null || value === undefined ? `${name}!=*` : `${name}=${quoted(textOf(value))}`;
}

/** The name of a variable, which a field may have too. */
export function variableName(name: string): string {
  return FIELDS.has(name) || name.startsWith("attr.") || name.startsWith("var.") ? `var.${name}` : name;
}

export function quoted(text: string): string {
  return text === "" || /[\s",*]/.test(text) || /^[[{=!<>~]/.test(text) ? JSON.stringify(text) : text;
}

export function textOf(value: unknown): string {
  return typeof value === "string"
    ? value
    : typeof value === "bigint"
      ? value.toString()
      : (JSON.stringify(value) ?? "");
}

function pieces(filter: string): [number, number][] {
  const found: [number, number][] = [];
  let begin = -1;
  let inQuotes = false;
  for (let place = 0; place < filter.length; place++) {
    const character = filter[place] as string;
    if (inQuotes && character === "\\") place += 1;
    else if (character === '"') inQuotes = !inQuotes;
    if (/\s/.test(character) && !inQuotes) {
      if (begin >= 0) found.push([begin, place]);
      begin = -1;
    } else if (begin < 0) begin = place;
  }
  if (begin >= 0) found.push([begin, filter.length]);
  return found;
}
