/** The page to chat in: logs in, and opens the chat. */
import { startChat } from "./chat.js";
import { showLogin } from "./login.js";
import { takeFromAddress } from "./secrets.js";

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
const KEPT = "fanfare.token";

/** @param {string} token */
function enter(token) {
  sessionStorage.setItem(KEPT, token);
  startChat(root, token, leave);
}

/** @param {string} why */
function leave(why) {
  sessionStorage.removeItem(KEPT);
  history.replaceState(null, "", location.pathname);
  showLogin(root, enter, why);
}

// A tab that is loaded again goes on; another tab may be somebody else.
const token = takeFromAddress("token") || sessionStorage.getItem(KEPT);
if (token) enter(token);
else showLogin(root, enter);
