import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { pathAtLine } from '../../src/openapi/check.ts';

describe('pathAtLine', () => {
  it('finds the member that begins on each line of indented JSON', () => {
    const document = { a: 1, b: [], c: { d: [{ e: 1 }, 2], f: {} }, g: null };
    const text = JSON.stringify(document, null, 2).split('\n');
    const found = text.map((_, index) => pathAtLine(document, index + 1).join('.'));
    const expected = ' a b c c.d c.d.0 c.d.0.e c.d.0 c.d.1 c.d c.f c g ';
    assert.equal(found.join(' '), expected);
  });

  it('agrees with JSON.stringify for any document', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(), (generated, pick) => {
        const document: unknown = JSON.parse(JSON.stringify(generated));
        const lines = JSON.stringify(document, null, 2).split('\n');
        const line = pick % lines.length;
        let value = document;
        const path = pathAtLine(document, line + 1);
        for (const step of path) value = (value as Record<string | number, unknown>)[step];
        const text = (lines[line] ?? '').trim();
        if (/^[\]}],?$/.test(text)) return;
        const last = path.at(-1);
        const key = typeof last === 'string' ? `${JSON.stringify(last)}: ` : '';
        const [first = ''] = JSON.stringify(value, null, 2).split('\n');
        assert.equal(text.replace(/,$/, ''), key + first);
      }),
      { numRuns: 300 },
    );
  });
});
