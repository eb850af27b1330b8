import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDuration, parseSize } from '../../src/config/quantity.ts';

test('durations are whole milliseconds', () => {
  for (const [text, ms] of [
    ['0ms', 0],
    ['250 ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['5 min', 300_000],
    ['1.5h', 5_400_000],
    ['30d', 2_592_000_000],
    ['0.001s', 1],
  ] as const)
    assert.equal(parseDuration(text), ms, text);
  for (const text of [
    '',
    '5',
    's',
    '-1s',
    '1e3s',
    '5M',
    '5S',
    '1h30m',
    '0.5ms',
    '5  s',
    '1,5s',
    '٣s',
  ])
    assert.equal(parseDuration(text), undefined, text);
});

test('sizes are whole bytes: IEC units by 1024, SI units by 1000', () => {
  for (const [text, bytes] of [
    ['0B', 0],
    ['512 B', 512],
    ['1 MiB', 1_048_576],
    ['1mib', 1_048_576],
    ['64KiB', 65_536],
    ['2 kB', 2000],
    ['1.5 GB', 1_500_000_000],
  ] as const)
    assert.equal(parseSize(text), bytes, text);
  for (const text of ['', '1', '1 K', '0.3 B', '-1 B', '999999999999999 GiB'])
    assert.equal(parseSize(text), undefined, text);
});

test('any text is a whole number of units or none', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const value of [parseDuration(text), parseSize(text)])
        assert.ok(value === undefined || (Number.isSafeInteger(value) && value >= 0));
    }),
  );
});
