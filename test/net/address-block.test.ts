import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressBlock } from '../../src/net/address-block.ts';

test('an IPv4 address is itself, however it is written', () => {
  for (const address of [
    '192.0.2.1',
    '::ffff:192.0.2.1',
    '::FFFF:c000:201',
    '0:0:0:0:0:ffff:192.0.2.1',
  ])
    assert.equal(addressBlock(address), '192.0.2.1', address);
});

test('an IPv6 address is its /64, whatever it looks like', () => {
  const same = [
    '2001:db8:0:1::1',
    '2001:0DB8:0000:0001:ffff:ffff:ffff:ffff',
    '2001:db8::1:0:0:0:1',
    '2001:db8:0:1:1::',
    '2001:db8:0:1::1%eth0',
    '2001:db8:0:1::192.0.2.1',
  ];
  for (const address of same) assert.equal(addressBlock(address), '2001:db8:0:1::/64', address);
  assert.equal(addressBlock('::1'), '0:0:0:0::/64');
  assert.equal(addressBlock('fe80::'), 'fe80:0:0:0::/64');
  assert.notEqual(addressBlock('2001:db8:0:2::1'), addressBlock(same[0] ?? ''));
});

test('what is no address is as it is', () => {
  for (const text of ['unknown', '', ':', 'a:b', '1:2:3']) assert.equal(addressBlock(text), text);
});

test('only the first 64 bits count', () => {
  const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(groups, groups, (one, other) => {
      fc.pre(one.slice(0, 6).join() !== '0,0,0,0,0,65535');
      fc.pre([...one.slice(0, 4), ...other.slice(4)].slice(0, 6).join() !== '0,0,0,0,0,65535');
      const text = (all: number[]): string => all.map((group) => group.toString(16)).join(':');
      const mixed = [...one.slice(0, 4), ...other.slice(4)];
      assert.equal(addressBlock(text(one)), addressBlock(text(mixed)));
      assert.equal(addressBlock(text(one)), addressBlock(text(one).toUpperCase()));
    }),
  );
});
