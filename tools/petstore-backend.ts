/**
 * A small petstore: the upstream of the demo, the walkthrough and the end-to-end tests. Run directly it serves on 127.0.0.1:8080, or on
 * the port given as its argument.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pathToFileURL } from 'node:url';

interface Pet {
  readonly id: number;
  readonly name: string;
  readonly status: string;
}

const BODY_LIMIT = 64 * 1024;

export interface PetstoreBackend {
  readonly port: number;
  /** Requests answered so far: tells whether a refused call ever came through. */
  readonly calls: number;
  /** Header names and values of the last request, as received. */
  readonly lastHeaders: readonly string[];
  close(): Promise<void>;
}

/** Starts the backend on 127.0.0.1; port 0 takes any free one. */
export async function startPetstoreBackend(port = 0): Promise<PetstoreBackend> {
  const pets: Pet[] = [
    { id: 1, name: 'Rex', status: 'available' },
    { id: 2, name: 'Tom', status: 'available' },
    { id: 3, name: 'Nemo', status: 'sold' },
  ];
  let calls = 0;
  let lastHeaders: readonly string[] = [];
  const server: Server = createServer((request, response) => {
    calls++;
    lastHeaders = request.rawHeaders;
    answer(pets, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    get calls() {
      return calls;
    },
    get lastHeaders() {
      return lastHeaders;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  pets: Pet[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://petstore.invalid');
  const route = `${request.method} ${url.pathname}`;
  if (route === 'GET /v2/pet/findByStatus') {
    const wanted = (url.searchParams.get('status') ?? '').split(',');
    return json(
      response,
      200,
      pets.filter((pet) => wanted.includes(pet.status)),
    );
  }
  if (route === 'GET /v2/store/inventory') {
    const counts: Record<string, number> = {};
    for (const { status } of pets) counts[status] = (counts[status] ?? 0) + 1;
    return json(response, 200, counts);
  }
  if (route === 'POST /v2/pet') {
    const sent = JSON.parse(await body(request)) as Partial<Pet>;
    const pet = {
      id: pets.length + 1,
      name: String(sent.name),
      status: sent.status ?? 'available',
    };
    pets.push(pet);
    return json(response, 201, pet);
  }
  const id = /^GET \/v2\/pet\/(\d+)$/.exec(route)?.[1];
  const pet = pets.find((candidate) => String(candidate.id) === id);
  return pet === undefined
    ? json(response, 404, { message: 'no such pet' })
    : json(response, 200, pet);
}

async function body(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8');
    if (text.length > BODY_LIMIT) throw new Error('body too large');
  }
  return text;
}

function json(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const backend = await startPetstoreBackend(Number(process.argv[2] ?? 8080));
  console.log(`Petstore backend listens on http://127.0.0.1:${backend.port}/v2`);
}
