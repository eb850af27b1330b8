/** One change of a message. The numbers choose a place, whatever the message is. */
export interface Mutation {
  readonly kind: (typeof MUTATIONS)[number];
  readonly at: number;
  readonly other: number;
  readonly text: string;
}

export const MUTATIONS = [
  'insert',
  'insertAtEdge',
  'replace',
  'replaceAtEdge',
  'remove',
  'repeat',
  'cutOff',
  'insertLine',
  'duplicateLine',
  'swapLines',
  'removeLine',
  'joinLines',
] as const;

/** The place number `at` of those beside a delimiter, where grammars are decided. */
function edge(text: string, at: number): number {
  const edges: number[] = [];
  for (const { index } of text.matchAll(/[\r\n:; ,=]/g)) edges.push(index, index + 1);
  return edges[at % Math.max(1, edges.length)] ?? 0;
}

/** The message with this change; the same message where it cannot be made. */
export function mutate(text: string, { kind, at, other, text: added }: Mutation): string {
  const place = at % (text.length + 1);
  const spliced = (from: number, to: number, put: string): string =>
    text.slice(0, from) + put + text.slice(to);
  switch (kind) {
    case 'insert':
      return spliced(place, place, added);
    case 'insertAtEdge': {
      const from = edge(text, at);
      return spliced(from, from, added);
    }
    case 'replace':
      return spliced(place, place + 1 + (other % 3), added);
    case 'replaceAtEdge': {
      const from = edge(text, at);
      return spliced(from, from + 1 + (other % 2), added);
    }
    case 'remove':
      return spliced(place, place + 1 + (other % 4), '');
    case 'repeat': {
      const piece = text.slice(place, place + 1 + (other % 24));
      return spliced(place, place, piece);
    }
    case 'cutOff':
      return text.slice(0, place);
    default:
      return changeLines(text, kind, at, other, added);
  }
}

function changeLines(
  text: string,
  kind: 'insertLine' | 'duplicateLine' | 'swapLines' | 'removeLine' | 'joinLines',
  at: number,
  other: number,
  added: string,
): string {
  const lines = text.split('\r\n');
  const one = at % lines.length;
  const two = other % lines.length;
  switch (kind) {
    case 'insertLine':
      lines.splice(one, 0, added);
      break;
    case 'duplicateLine':
      lines.splice(two, 0, lines[one] ?? '');
      break;
    case 'swapLines':
      [lines[one], lines[two]] = [lines[two] ?? '', lines[one] ?? ''];
      break;
    case 'removeLine':
      lines.splice(one, 1);
      break;
    case 'joinLines':
      return text
        .split('\r\n')
        .reduce((all, line, index) => `${all}${index === one ? added : '\r\n'}${line}`);
  }
  return lines.join('\r\n');
}
