/**
 * Ask for what operators may do.
 * @param {string} key
 * @param {Record<string, any>} wish
 * @returns {Promise<any>}
 */
export async function ask(key, wish) {
  const answer = await fetch("/web/do", {
    method: "POST",
    headers: { Authorization: `Admin ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify(wish),
    credentials: "omit",
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.message);
  return said;
}
