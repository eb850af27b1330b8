import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { nameOfRule, type Rule } from '../../src/revocation/rule.ts';
import {
  MAX_NAMES_PER_SHAPE,
  MAX_SHAPES,
  RuleShapesReader,
  RuleShapesWriter,
  shapeNames,
  shapeOf,
} from '../../src/revocation/rule-shapes.ts';

type Named = Pick<Rule, 'issuer' | 'claims' | 'endsAtMs'>;

const rule = (
  claims: Record<string, string>,
  issuer: string | null = null,
  endsAtMs = 1_000,
): Named => ({
  issuer,
  endsAtMs,
  claims: Object.entries(claims).sort(([a], [b]) => (a < b ? -1 : 1)),
});

function namesOf(
  named: Named,
  claims: Record<string, unknown>,
  issuers: readonly string[] = ['i'],
  consumerKeyClaims?: readonly string[],
): readonly string[] | undefined {
  return shapeNames(shapeOf(named), claims, issuers, consumerKeyClaims);
}

/** Whether the token has the rule's name among those that the shape gives it. */
const matches = (...args: Parameters<typeof namesOf>): boolean =>
  namesOf(...args)?.includes(nameOfRule(args[0])) ?? assert.fail('too many names');

describe('names that a shape gives a token', () => {
  it('are those of every rule that matches it', () => {
    const token = { sub: 'alice', sid: 's1', aud: ['x', 'y'], n: 5, admin: true };
    for (const [claims, issuer] of [
      [{ sub: 'alice' }, null],
      [{ sub: 'alice' }, 'i'],
      [{ sid: 's1' }, null],
      [{ aud: 'x' }, null],
      [{ aud: 'y' }, null],
      [{ aud: 'y', sub: 'alice' }, 'i'],
      [{ n: '5', admin: 'true' }, null],
      [{}, 'i'],
    ] as const)
      assert.ok(matches(rule(claims, issuer), token), JSON.stringify(claims));
    for (const [claims, issuer] of [
      [{ sub: 'bob' }, null],
      [{ sub: 'alice' }, 'j'],
      [{ aud: 'x,y' }, null],
      [{ aud: '["x","y"]' }, null],
      [{ sub: 'alice', sid: 's2' }, null],
      [{ n: '5.0' }, null],
      [{ missing: 'x' }, null],
      [{}, 'j'],
    ] as const)
      assert.ok(!matches(rule(claims, issuer), token), JSON.stringify(claims));
  });

  it('a client id is one wherever the token has it', () => {
    const client = rule({ client: 'c' });
    for (const token of [
      { client_id: 'c' },
      { azp: 'c' },
      { consumerKey: 'c' },
      { client_id: 'other', azp: 'c' },
      { azp: ['other', 'c'] },
    ])
      assert.ok(matches(client, token), JSON.stringify(token));
    assert.ok(!matches(client, { client: 'c' }));
    assert.ok(!matches(client, { cid: 'c' }));
    assert.ok(matches(client, { cid: 'c' }, ['i'], ['cid']));
    assert.ok(matches(client, { aud: ['x', 'c'] }, ['i'], ['aud']));
    assert.ok(matches(rule({ client: 'c', sub: 's' }, 'i'), { azp: 'c', sub: 's' }));
  });

  it('a token under two issuers is found under each', () => {
    for (const issuer of ['i', 'j'])
      assert.ok(matches(rule({ sub: 'a' }, issuer), { sub: 'a' }, ['i', 'j']));
    assert.deepEqual(namesOf(rule({ sub: 'a' }, 'i'), { sub: 'a' }, []), []);
    assert.deepEqual(namesOf(rule({}, 'i'), {}, []), []);
  });

  it('claims that are no own property, empty or no text match nothing', () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'sub'])
      assert.deepEqual(
        namesOf(rule(JSON.parse(`{"${name}":"x"}`) as Record<string, string>), {}),
        [],
      );
    for (const value of ['', null, {}, [[]], [null], 'x'.repeat(1025)])
      assert.deepEqual(namesOf(rule({ sub: 'x' }), { sub: value }), []);
    const own = JSON.parse('{"__proto__":"x"}') as Record<string, string>;
    assert.ok(matches(rule(own), own));
  });

  it('are bounded: a token with too many combinations has none, and its reader is told', () => {
    const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `v${i}`);
    assert.equal(
      namesOf(rule({ groups: 'v0' }), { groups: many(1024) })?.length,
      MAX_NAMES_PER_SHAPE,
    );
    assert.equal(namesOf(rule({ groups: 'v0' }), { groups: many(1025) }), undefined);
    assert.equal(namesOf(rule({ groups: 'v0', sub: 'a' }), { groups: many(1025) })?.length, 0);
    assert.equal(namesOf(rule({ a: 'v0', b: 'v0' }), { a: many(33), b: many(33) }), undefined);
    const twins = Array.from({ length: 5000 }, () => 'same');
    assert.equal(namesOf(rule({ groups: 'same' }), { groups: twins })?.length, 1);
  });

  it('agree with a naive match, for any rule and token', () => {
    const text = fc.constantFrom('a', 'b', 'c', '', '\ud800', '1');
    const values = fc.oneof(
      text,
      fc.constantFrom<unknown>(1, true, null),
      fc.array(fc.oneof(text, fc.constant<unknown>(1)), { maxLength: 3 }),
    );
    const claimNames = fc.constantFrom('sub', 'aud', 'azp', 'client_id', 'consumerKey', 'x');
    const ruleNames = fc.constantFrom('sub', 'aud', 'client', 'x');
    fc.assert(
      fc.property(
        fc.dictionary(claimNames, values),
        fc.dictionary(
          ruleNames,
          text.filter((value) => value !== ''),
          { maxKeys: 3 },
        ),
        fc.option(fc.constantFrom('i', 'j')),
        (token, claims, issuer) => {
          const text = (value: unknown): string =>
            typeof value === 'string' ? value : JSON.stringify(value);
          const has = (name: string, wanted: string): boolean =>
            (name === 'client' ? ['client_id', 'azp', 'consumerKey'] : [name]).some((source) =>
              [token[source] ?? []].flat().some((value) => text(value) === wanted),
            );
          const expected =
            (issuer === null || issuer === 'i') &&
            Object.entries(claims).every(([name, value]) => has(name, value));
          assert.equal(matches(rule(claims, issuer), token), expected);
        },
      ),
    );
  });
});

describe('shapes in use', () => {
  it('are seen by a reader as soon as they are added, each once', () => {
    const writer = new RuleShapesWriter();
    const reader = new RuleShapesReader(writer.buffers);
    assert.deepEqual(reader.read(), { version: 0, shapes: [] });
    assert.equal(writer.add(rule({ sub: 'a' })), undefined);
    const { version, shapes } = reader.read();
    assert.deepEqual(shapes, [{ names: ['sub'], withIssuer: false }]);
    assert.equal(writer.add(rule({ sub: 'b' })), undefined);
    assert.equal(reader.version, version);
    writer.add(rule({ sub: 'b' }, 'i'));
    assert.notEqual(reader.version, version);
    assert.deepEqual(reader.read().shapes, [
      { names: ['sub'], withIssuer: false },
      { names: ['sub'], withIssuer: true },
    ]);
    assert.deepEqual(new RuleShapesReader(writer.buffers).read(), reader.read());
  });

  it('leave when the last rule that has them has ended', () => {
    const writer = new RuleShapesWriter();
    const reader = new RuleShapesReader(writer.buffers);
    writer.add(rule({ a: '1' }, null, 100));
    writer.add(rule({ b: '1' }, null, 100));
    writer.add(rule({ b: '2' }, null, 300));
    writer.add(rule({ b: '3' }, null, 200));
    const { version } = reader;
    writer.expire(100);
    assert.equal(reader.version, version, 'nothing has ended before its end');
    writer.expire(101);
    assert.deepEqual(reader.read().shapes, [{ names: ['b'], withIssuer: false }]);
    writer.expire(300);
    assert.equal(writer.size, 1);
    writer.expire(301);
    assert.deepEqual(reader.read().shapes, []);
    assert.equal(writer.add(rule({ a: '1' }, null, 400)), undefined);
    assert.deepEqual(reader.read().shapes, [{ names: ['a'], withIssuer: false }]);
  });

  it('are bounded, and the common ones always have room', () => {
    const writer = new RuleShapesWriter();
    const reader = new RuleShapesReader(writer.buffers);
    let added = 0;
    while (writer.add(rule({ [`c${added}`]: '1' })) === undefined) added++;
    assert.equal(added, MAX_SHAPES - 7);
    assert.match(writer.add(rule({ other: '1' })) ?? '', /^too many/);
    assert.equal(writer.add(rule({ c0: '2' })), undefined, 'a shape in use is no new one');
    for (const name of ['sub', 'sid', 'client'])
      for (const issuer of [null, 'i'])
        assert.equal(writer.add(rule({ [name]: 'x' }, issuer)), undefined);
    assert.equal(writer.add(rule({}, 'i')), undefined);
    assert.equal(writer.size, MAX_SHAPES);
    assert.equal(reader.read().shapes.length, MAX_SHAPES);
  });

  it('are bounded in bytes too', () => {
    const writer = new RuleShapesWriter();
    const reader = new RuleShapesReader(writer.buffers);
    const long = (i: number): Named =>
      rule(
        Object.fromEntries(
          Array.from({ length: 8 }, (_, n) => [`${'\u0000'.repeat(500)}${i}.${n}`, 'v']),
        ),
      );
    let added = 0;
    while (writer.add(long(added)) === undefined) added++;
    assert.ok(added > 0 && added < 10);
    assert.equal(reader.read().shapes.length, added);
    for (const named of [rule({ sub: 'a' }), rule({ sid: 'a' }, 'i'), rule({}, 'i')])
      assert.equal(writer.add(named), undefined);
    assert.equal(reader.read().shapes.length, added + 3);
  });

  it('are never half of one and half of another, in a thread that reads while they change', async () => {
    const writer = new RuleShapesWriter();
    const stop = new Int32Array(new SharedArrayBuffer(8));
    const [STOP, READS] = [0, 1];
    const worker = new Worker(
      `const { workerData: { url, buffers, stop } } = require('node:worker_threads');
       import(url).then(({ RuleShapesReader }) => {
         const reader = new RuleShapesReader(buffers);
         let seen = -1;
         while (Atomics.load(stop, ${STOP}) === 0) {
           const { version, shapes } = reader.read();
           for (const { names } of shapes)
             if (names.length !== 8 || names.some((name) => name !== names[0].slice(0, -1) + name.slice(-1)))
               throw new Error('mixed');
           if (version !== seen) Atomics.add(stop, ${READS}, 1);
           seen = version;
         }
       });`,
      {
        eval: true,
        workerData: {
          url: new URL('../../src/revocation/rule-shapes.ts', import.meta.url).href,
          buffers: writer.buffers,
          stop,
        },
      },
    );
    const exited = once(worker, 'exit');
    const failed = once(worker, 'error').then(([error]) => assert.fail(String(error)));
    try {
      const until = Date.now() + 10_000;
      for (let i = 0; Atomics.load(stop, READS) < 200 && Date.now() < until; i++) {
        const word = `${i}`.repeat((i % 40) + 1);
        const named = rule(
          Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`${word}${n}`, 'v'])),
        );
        writer.expire(Infinity);
        assert.equal(writer.add(named), undefined);
        if (i % 100 === 0) await new Promise(setImmediate);
      }
      assert.ok(Atomics.load(stop, READS) >= 200, 'the thread saw many versions');
    } finally {
      Atomics.store(stop, STOP, 1);
      await Promise.race([exited, failed]);
    }
  });
});
