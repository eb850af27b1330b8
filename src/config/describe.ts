import type { MgwConfig } from './config.ts';

const MASK = '***';

/** Fields of the configuration that hold secrets, whatever object they are in. */
const SECRET_FIELDS: ReadonlySet<string> = new Set(['password']);

/**
 * The configuration as lines `name = value`, for a DEBUG log: without passwords. What an extension's own keys hold is nobody's business
 * here, so of these only the names are shown; a JMS connection URL is shown without its user info and options.
 */
export function describeConfig(config: MgwConfig): string[] {
  const lines: string[] = [];
  const walk = (name: string, value: unknown): void => {
    if (value === undefined) lines.push(`${name} is not set`);
    else if (Array.isArray(value) && value.some((item) => typeof item === 'object'))
      for (const [i, item] of value.entries()) walk(`${name}.${i}`, item);
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [key, inner] of Object.entries(value)) {
        const hidden = SECRET_FIELDS.has(key) || name.endsWith('.section');
        walk(`${name}.${key}`, hidden ? MASK : inner);
      }
    } else if (typeof value === 'string' && value.startsWith('amqp://'))
      lines.push(`${name} = "amqp://${MASK}"`);
    else lines.push(`${name} = ${JSON.stringify(value)}`);
  };
  for (const [section, value] of Object.entries(config)) walk(section, value);
  return lines;
}
