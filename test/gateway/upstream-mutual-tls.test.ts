import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { issueCertificate } from '../../src/tls/certificate.ts';
import { http2Upstream } from './http2-peers.ts';
import { api, localCertificate, stage } from './stage.ts';

async function clientCertificate() {
  const now = Date.now();
  return issueCertificate({
    commonName: 'the gateway',
    purpose: 'client',
    notBefore: new Date(now - 60_000),
    notAfter: new Date(now + 86_400_000),
  });
}

function nameOf(socket: TLSSocket): string {
  return String(socket.getPeerCertificate().subject.CN);
}

/** An upstream that speaks only to those who show a certificate, by each version of HTTP. */
async function upstreams(t: TestContext, ca: string) {
  const tls = { ...(await localCertificate()), ca, requestCert: true, rejectUnauthorized: true };
  const old = createServer(tls, (request, response) => {
    response.end(nameOf(request.socket as TLSSocket));
  });
  old.listen(0, '127.0.0.1');
  await once(old, 'listening');
  t.after(() => {
    old.close();
    old.closeAllConnections();
  });
  const modern = await http2Upstream(
    t,
    (stream) => {
      stream.respond();
      stream.end(nameOf(stream.session?.socket as TLSSocket));
    },
    tls,
  );
  return { old: `https://localhost:${(old.address() as AddressInfo).port}`, modern: modern.url };
}

test('upstreams that ask for a certificate get the one of the gateway, over HTTP/1.1 and HTTP/2', async (t) => {
  const [own, other] = [await clientCertificate(), await clientCertificate()];
  const { old, modern } = await upstreams(t, own.cert);
  const { cert } = await localCertificate();
  for (const [shown, status] of [
    [own, 200],
    [other, 502],
    [{}, 502],
  ] as const) {
    const { url } = await stage(t, {
      apis: [
        api(
          '',
          ['GET /old', { production: [old] }],
          ['GET /modern', { production: [modern], http2: true }],
        ),
      ],
      upstream: { ca: [cert], ...shown },
    });
    for (const path of ['/old', '/modern']) {
      const answer = await fetch(url + path);
      assert.equal(answer.status, status, path);
      const body = await answer.text();
      if (status === 200) assert.equal(body, 'the gateway');
    }
  }
});
