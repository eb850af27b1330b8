import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tlsFailure } from '../../src/net/tls-failure.ts';

const told = (code: string, message = ''): string | undefined => {
  const failure = tlsFailure(Object.assign(new Error(message), { code }));
  return failure && `${failure.words} (${failure.code})`;
};

test('an alert has the same words under each name that OpenSSL gives it', () => {
  for (const version of ['SSLV3', 'SSL/TLS', 'TLSV1']) {
    const code = `ERR_SSL_${version}_ALERT_HANDSHAKE_FAILURE`;
    assert.equal(told(code), `it refused the TLS handshake (${code})`);
  }
});

test("a failed write has its code from OpenSSL's text, which is not passed on", () => {
  const text =
    'write EPROTO 402D639EEF7F0000:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../deps/openssl/openssl/ssl/record/rec_layer_s3.c:918:SSL alert number 116\n';
  assert.equal(
    told('EPROTO', text),
    'it asks for a client certificate (ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED)',
  );
});

test('what is not known is left to its code; what is not of TLS is not told', () => {
  assert.equal(told('ERR_SSL_DECRYPTION_FAILED'), 'TLS failed (ERR_SSL_DECRYPTION_FAILED)');
  assert.equal(told('ECONNREFUSED'), undefined);
  assert.equal(tlsFailure(new Error('no code')), undefined);
});
