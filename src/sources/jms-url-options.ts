import { OperatorError } from '../errors.ts';

const SEPARATORS: ReadonlySet<string> = new Set(['&', ',', ';']);

/**
 * Reads `name='value'` options, separated by `&` or `,`, by the rule of the JMS clients: a `'` closes the current value if `&`, `,`, `;`,
 * another `'` or the end follows; otherwise it opens a nested level. Names come back in lower case; the last of a name wins.
 * @param where what the options belong to, for the error
 * @throws OperatorError `ERR_JMS_URL` without any value in it.
 */
export function optionsOf(text: string, where: string): Map<string, string> {
  const options = new Map<string, string>();
  let at = 0;
  while (at < text.length) {
    const equals = text.indexOf('=', at);
    if (equals < 0) {
      if (text.slice(at).trim() !== '')
        throw refusal(`${where} has an option without ='value' at its end`);
      break;
    }
    const name = text.slice(at, equals).trim().toLowerCase();
    if (!/^[a-z][a-z0-9_.-]*$/.test(name))
      throw refusal(`${where} has an option name that is none, after ${options.size} option(s)`);
    if (text[equals + 1] !== "'")
      throw refusal(`the value of ${name} is not in quotes. Write ${name}='value'`);
    const end = closingQuote(text, equals + 1, name);
    options.set(name, text.slice(equals + 2, end));
    at = end + 1;
    const separator = text[at];
    if (separator !== undefined && !SEPARATORS.has(separator))
      throw refusal(`after the value of ${name} there is neither & nor the end`);
    at++;
  }
  return options;
}

function closingQuote(text: string, open: number, name: string): number {
  let depth = 1;
  for (let i = open + 1; i < text.length; i++) {
    if (text[i] !== "'") continue;
    const next = text[i + 1];
    const closes = next === undefined || next === "'" || SEPARATORS.has(next);
    depth += closes ? -1 : 1;
    if (depth === 0) return i;
  }
  throw refusal(`the quotes around the value of ${name} do not match`);
}

/** Undoes percent-encoding once. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refusal("it has a '%' that begins no valid escape. Write a plain % as %25");
  }
}

/** Why a JMS connection URL is refused. */
export function refusal(what: string): OperatorError {
  return new OperatorError('ERR_JMS_URL', `The JMS connection URL cannot be used: ${what}`);
}
