/** REST, as this user. */

export class RestError extends Error {
  /** @param {number} status @param {any} body */
  constructor(status, body) {
    super(explain(status, body));
    this.status = status;
    this.code = body?.code ?? 0;
    /** @type {number | undefined} */
    this.retryAfter = body?.retry_after;
  }
}

/** @param {number} status @param {any} body @returns {string} */
function explain(status, body) {
  /** @type {string[]} */
  const wrong = [];
  const walk = (/** @type {any} */ errors) => {
    for (const [name, value] of Object.entries(errors ?? {})) {
      if (name === "_errors") wrong.push(.../** @type {any[]} */ (value).map((one) => one.message));
      else walk(value);
    }
  };
  walk(body?.errors);
  return wrong.join(" ") || body?.message || `the server answered with ${status}`;
}

export class Rest {
  /** @param {string} token */
  constructor(token) {
    this.token = token;
  }

  /**
   * @param {string} method
   * @param {string} path after the prefix with the version
   * @param {any} [body]
   * @returns {Promise<any>}
   */
  async ask(method, path, body) {
    const form = body instanceof FormData;
    /** @type {Record<string, string>} */
    const headers = { Authorization: this.token };
    if (body !== undefined && !form) headers["Content-Type"] = "application/json";
    const answer = await fetch(`/api/v10${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : form ? body : JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
    });
    if (answer.status === 204) return null;
    const said = await answer.json().catch(() => null);
    if (!answer.ok) throw new RestError(answer.status, said);
    return said;
  }
}
