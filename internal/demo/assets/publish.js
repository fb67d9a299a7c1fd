// Publishing over HTTP: with the session's token where it may publish, or else with the admin token. That one stays in
// its field and is kept nowhere else.
import { mayPublish, publishChange, publishRow } from "./api.js";
import { element, showResult } from "./view.js";

const value = (id) => element(id).value.trim();
let publisher = ""; // the session's token, when it may publish

// publishAs finds out whether a session's token may publish, and asks for the admin token when it may not.
export async function publishAs(token) {
  publisher = "";
  element("admin-form").hidden = false;
  try {
    if (await mayPublish(token)) publisher = token;
  } catch {
    return; // then it isn't known
  }
  element("admin-form").hidden = publisher !== "";
  element("publish-hint").textContent = publisher === "" ? "This session may not publish. The admin token is kept in this page's memory only, gone on reload."
    : "This session may publish.";
}

// changeOfForm is the change that the form has; its data may be no JSON yet.
export function changeOfForm() {
  const change = { entity: value("change-entity"), row_id: value("change-row-id"), kind: value("change-kind") };
  const data = value("change-data");
  if (data !== "" && change.kind !== "delete") change.data = parseData(data);
  return change;
}

// wirePublishing connects the two forms that publish.
export function wirePublishing() {
  onSubmit("change-form", sendChange);
  onSubmit("put-form", sendRow);
  element("admin-form").addEventListener("submit", (event) => event.preventDefault());
}

function onSubmit(id, send) {
  element(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const token = value("admin-token") || publisher;
      if (token === "") throw new Error("Publishing needs the admin token.");
      showResult(true, await send(token));
    } catch (error) {
      showResult(false, error.message);
    }
  });
}

async function sendChange(token) {
  const seq = await publishChange(token, changeOfForm());
  return `Published change ${seq}.`;
}

async function sendRow(token) {
  const row = {
    entity: value("put-entity"),
    rowId: value("put-row-id"),
    payload: element("put-payload").value,
    update: value("put-mode") === "update",
  };
  await publishRow(token, row);
  return `Published ${row.update ? "an update of" : "a snapshot of"} ${row.entity}/${row.rowId}.`;
}

function parseData(words) {
  try {
    return JSON.parse(words);
  } catch (error) {
    throw new Error(`The change's data is no JSON: ${error.message}`);
  }
}
