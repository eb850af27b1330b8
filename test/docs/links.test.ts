import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path/posix';
import { test } from 'node:test';
import { ROOT } from '../support/checkout.ts';
import { pages, prose, readPage } from './markdown.ts';

/** The anchors that a page's headings get, as GitHub makes them: lower case, no punctuation, hyphens for blanks, numbered when repeated. */
function anchors(markdown: string): Set<string> {
  const found = new Map<string, number>();
  const names = new Set<string>();
  for (const [, heading] of prose(markdown).matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const name = (heading ?? '')
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-');
    const times = found.get(name) ?? 0;
    found.set(name, times + 1);
    names.add(times === 0 ? name : `${name}-${times}`);
  }
  return names;
}

interface Link {
  readonly page: string;
  readonly target: string;
}

function links(): Link[] {
  return pages().flatMap((page) => {
    const text = prose(readPage(page));
    const inline = [...text.matchAll(/\]\(\s*<?([^()\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
    const defined = [...text.matchAll(/^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)/gm)];
    return [...inline, ...defined].map(([, target]) => ({ page, target: target ?? '' }));
  });
}

test('every relative link and anchor of every page leads somewhere', () => {
  const relative = links().filter(({ target }) => !/^[a-z][a-z0-9+.-]*:/i.test(target));
  assert.ok(relative.length > 20, 'links are found at all');
  const broken = relative.filter(({ page, target }) => {
    const [path = '', anchor] = target.split('#');
    const file = path === '' ? page : normalize(join(dirname(page), decodeURI(path)));
    if (file.startsWith('..') || !existsSync(join(ROOT, file))) return true;
    if (anchor === undefined) return false;
    return statSync(join(ROOT, file)).isDirectory() || !anchors(readPage(file)).has(anchor);
  });
  assert.deepEqual(broken, []);
});

test('every page under docs/ is reached from the README', () => {
  const reached = new Set(['README.md']);
  for (const page of reached)
    for (const { target } of links().filter((link) => link.page === page)) {
      const file = normalize(join(dirname(page), target.split('#')[0] ?? ''));
      if (file.endsWith('.md') && existsSync(join(ROOT, file))) reached.add(file);
    }
  assert.deepEqual(
    pages().filter((page) => page.startsWith('docs/') && !reached.has(page)),
    [],
  );
});
