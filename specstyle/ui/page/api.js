// What the page asks of its server. Every failure is an Error whose message is for the user.

export async function ask(path, options = {}) {
  const fail = (text) => () => { throw new Error(text); };
  const response = await fetch(path, options).catch(fail("The server does not answer. Is it still running in its terminal?"));
  const values = await response.json().catch(response.ok ? fail("The server's answer broke off.") : () => ({}));
  if (!response.ok) throw Object.assign(new Error(sentence(values.error || `The server said ${response.status}.`)), { field: values.field });
  return values;
}

export function send(path, values, method = "POST") {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method, headers, body: values === undefined ? undefined : JSON.stringify(values) });
}

export function upload(file) {
  return ask(`api/uploads?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
}

export function sentence(text) {
  const first = text.charAt(0);
  // A file's name keeps its first letter.
  const begun = /^[a-z]+[ :]/.test(text) ? first.toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

export function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
