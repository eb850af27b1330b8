import type { IncomingMessage } from 'node:http';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { Client, Credentials, User } from './credentials.ts';
import type { Form } from './form.ts';
import { invalidClient, invalidRequest } from './oauth-error.ts';
import { secretOf } from './secret.ts';

/** Who asks for an introspection. */
export type Inspector =
  | { readonly kind: 'client'; readonly client: Client }
  | { readonly kind: 'user' };

/** Compared with where a name is unknown, so that both cases take the same time. */
const NOBODY = secretOf('nobody');

interface Offered {
  readonly name: string;
  /** One spelling for plain Basic (RFC 7617), another where RFC 6749 section 2.3.1 had it form-encoded first. */
  readonly spellings: readonly { readonly name: string; readonly password: string }[];
}

/** Checks who is asking: clients as RFC 6749 section 2.3.1, users by Basic (RFC 7617), readers also by client certificate. */
export class Principals {
  readonly #clients: ReadonlyMap<string, Client>;
  readonly #users: ReadonlyMap<string, User>;
  readonly #certificates: ReadonlySet<string>;

  constructor(credentials: Credentials) {
    this.#clients = new Map(credentials.clients.map((client) => [client.id, client]));
    this.#users = new Map(credentials.users.map((user) => [user.name, user]));
    this.#certificates = new Set(credentials.readerCertificates);
  }

  /** Every scope that some client may have, sorted. */
  scopes(): string[] {
    return [...new Set([...this.#clients.values()].flatMap(({ scopes }) => scopes))].sort();
  }

  /** The client that sent this form. Rejects with 401 `invalid_client`, or 400 when it authenticates in two ways at once. */
  async client(request: IncomingMessage, form: Form): Promise<Client> {
    const offered = offeredBy(request, form);
    const client = await matching(offered, this.#clients);
    if (client === undefined) throw invalidClient();
    return client;
  }

  /** Whoever may introspect: a client, or a user. Rejects like {@link client}. */
  async inspector(request: IncomingMessage, form: Form): Promise<Inspector> {
    const offered = offeredBy(request, form);
    if (this.#users.has(offered?.name ?? '')) {
      if ((await matching(offered, this.#users)) === undefined) throw invalidClient();
      return { kind: 'user' };
    }
    const client = await matching(offered, this.#clients);
    if (client === undefined) throw invalidClient();
    return { kind: 'client', client };
  }

  /** Admin and readers, by Basic only. Rejects with 401. */
  async user(request: IncomingMessage): Promise<void> {
    if ((await matching(offeredInHeader(request), this.#users)) === undefined)
      throw invalidClient();
  }

  /** Admin and readers, by Basic or by a client certificate that is named in the credentials. Rejects with 401. */
  async reader(request: IncomingMessage): Promise<void> {
    if (request.headers.authorization === undefined && this.#hasCertificate(request)) return;
    await this.user(request);
  }

  #hasCertificate(request: IncomingMessage): boolean {
    const socket = request.socket as TLSSocket;
    if (this.#certificates.size === 0 || !socket.authorized) return false;
    // Empty when there is none, whatever the declaration says.
    const { subject, subjectaltname }: Partial<PeerCertificate> = socket.getPeerCertificate();
    const alternatives = subjectaltname?.split(', ').map((name) => name.replace(/^DNS:/, '')) ?? [];
    return [subject?.CN ?? [], alternatives].flat().some((name) => this.#certificates.has(name));
  }
}

async function matching<T extends Client | User>(
  offered: Offered | undefined,
  known: ReadonlyMap<string, T>,
): Promise<T | undefined> {
  for (const { name, password } of offered?.spellings ?? []) {
    const principal = known.get(name);
    const right = await (principal?.secret ?? NOBODY).matches(password);
    if (principal !== undefined && right) return principal;
  }
  return undefined;
}

function offeredBy(request: IncomingMessage, form: Form): Offered | undefined {
  const inHeader = offeredInHeader(request);
  const id = form.get('client_id');
  const secret = form.get('client_secret');
  if (inHeader !== undefined) {
    if (secret !== undefined) {
      throw invalidRequest('The client authenticates in more than one way');
    }
    if (id !== undefined && inHeader.spellings.every(({ name }) => name !== id)) {
      throw invalidRequest('client_id names another client than the Authorization header');
    }
    return inHeader;
  }
  if (id === undefined || secret === undefined) return undefined;
  return { name: id, spellings: [{ name: id, password: secret }] };
}

function offeredInHeader(request: IncomingMessage): Offered | undefined {
  const { authorization } = request.headers;
  if (authorization === undefined) return undefined;
  // Node keeps the first of several and drops the rest: which one a proxy in front looked at is anyone's guess.
  if ((request.headersDistinct['authorization']?.length ?? 0) > 1) {
    throw invalidRequest('There is more than one Authorization header');
  }
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization)?.[1];
  if (encoded === undefined) throw invalidClient();
  const pair = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0) throw invalidClient();
  const plain = { name: pair.slice(0, colon), password: pair.slice(colon + 1) };
  const decoded = { name: formDecoded(plain.name), password: formDecoded(plain.password) };
  const same = decoded.name === plain.name && decoded.password === plain.password;
  return { name: plain.name, spellings: same ? [plain] : [plain, decoded] };
}

function formDecoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
