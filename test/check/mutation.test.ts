import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MUTANTS } from '../../check/mutants.ts';
import { mutate, replacementsFor } from '../../check/mutation.ts';

const DIST = join(import.meta.dirname, '../../dist');

const at = { file: 'a/b.js' };

describe('mutate', () => {
  it('replaces a text, whatever white space is in it', () => {
    const source = 'one();\n  two(\n    3,\n  );\nfour();\n';
    assert.equal(
      mutate(source, { ...at, from: 'two( 3, );', to: 'five($&);' }),
      'one();\n  five($&);\nfour();\n',
    );
  });
  it('takes every character for itself', () =>
    assert.equal(mutate('a.b(c)*[d]', { ...at, from: 'b(c)*[d]', to: '' }), 'a.'));
  it('refuses a text that is not there, or more than once', () => {
    assert.throws(() => mutate('abc', { ...at, from: 'x', to: 'y' }), /0 times in a\/b\.js/);
    assert.throws(() => mutate('abcabc', { ...at, from: 'bc', to: 'y' }), /2 times/);
  });
});

describe('replacementsFor', () => {
  it('goes by the end of the path within dist', () => {
    const one = { file: 'sources/amqp.js', from: 'a', to: 'b' };
    assert.deepEqual(replacementsFor('file:///x/dist/sources/amqp.js', [one]), [one]);
    assert.deepEqual(replacementsFor('file:///x/src/sources/amqp.js', [one]), []);
    assert.deepEqual(replacementsFor('file:///x/dist/other-sources/amqp.js', [one]), []);
  });
});

describe('the seeded bugs', () => {
  it('are six, each with something to replace and somebody to find it', () => {
    assert.equal(MUTANTS.length, 6);
    for (const { replacements, caughtBy, faults } of MUTANTS) {
      assert.ok(replacements.length > 0);
      // What a gateway fails that has only stopped working, V4 for one, finds no bug of these.
      assert.ok(caughtBy.length > 0);
      assert.ok(caughtBy.every((validator) => validator === 'V1' || validator === 'V2'));
      assert.ok(faults.length > 0);
    }
  });
  it('find their texts in the compiled files, each once', () => {
    for (const { name, replacements } of MUTANTS)
      for (const replacement of replacements) {
        const source = readFileSync(join(DIST, replacement.file), 'utf8');
        assert.notEqual(mutate(source, replacement), source, name);
      }
  });
});
