// Publishing with the admin token, over HTTP. The token stays in its field and is kept nowhere else.
import { publishChange, publishRow } from "./api.js";
import { element, showResult } from "./view.js";

const value = (id) => element(id).value.trim();

// wirePublishing connects the two forms that publish. onRow is told of rows that were published.
export function wirePublishing(onRow) {
  onSubmit("change-form", sendChange);
  onSubmit("put-form", (adminToken) => sendRow(adminToken, onRow));
  element("admin-form").addEventListener("submit", (event) => event.preventDefault());
}

function onSubmit(id, send) {
  element(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      if (value("admin-token") === "") throw new Error("Publishing needs the admin token.");
      showResult(true, await send(value("admin-token")));
    } catch (error) {
      showResult(false, error.message);
    }
  });
}

async function sendChange(adminToken) {
  const change = { entity: value("change-entity"), row_id: value("change-row-id"), kind: value("change-kind") };
  const data = value("change-data");
  if (data !== "" && change.kind !== "delete") change.data = parseData(data);
  const seq = await publishChange(adminToken, change);
  return `Published change ${seq}.`;
}

async function sendRow(adminToken, onRow) {
  const row = {
    entity: value("put-entity"),
    rowId: value("put-row-id"),
    payload: element("put-payload").value,
    update: value("put-mode") === "update",
  };
  await publishRow(adminToken, row);
  if (!row.update) onRow(row.entity, row.rowId);
  return `Published ${row.update ? "an update of" : "a snapshot of"} ${row.entity}/${row.rowId}.`;
}

function parseData(words) {
  try {
    return JSON.parse(words);
  } catch (error) {
    throw new Error(`The change's data is no JSON: ${error.message}`);
  }
}
