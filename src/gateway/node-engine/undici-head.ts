/**
 * The head of an answer as undici gives it.
 * @param raw name and value, alternating
 * @returns names in lower case and values, alternating; and what `Content-Length` says, -1 when it is not there
 * @throws Error when the framing is not plain: the response must not be passed on
 */
export function readUndiciHead(raw: readonly Buffer[]): {
  readonly fields: string[];
  readonly length: number;
} {
  const fields: string[] = [];
  let length = -1;
  let coding = false;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]?.toString('latin1').toLowerCase() ?? '';
    const value = raw[index + 1]?.toString('latin1') ?? '';
    if (name === 'content-length') {
      if (length !== -1 || !/^\d{1,15}$/.test(value)) throw new Error('bad Content-Length');
      length = Number(value);
    } else if (name === 'transfer-encoding') {
      if (coding || value.toLowerCase() !== 'chunked') {
        throw new Error('coding is not chunked alone');
      }
      coding = true;
    }
    fields.push(name, value);
  }
  if (coding && length !== -1) throw new Error('Content-Length beside chunked');
  return { fields, length };
}
