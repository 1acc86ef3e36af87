// Shows new mails as they come: asks for any above the newest that the page knows, and waits for the answer.
const newest = Number(document.body.dataset.newest);
const status = document.getElementById("status");

async function watch() {
  for (;;) {
    try {
      const answer = await fetch(`/mails?after=${newest}&wait=30`);
      const { newest_id } = await answer.json();
      // Fewer than the page knows: the catcher was started anew.
      if (newest_id !== newest) return location.reload();
      status.textContent = "";
    } catch {
      status.textContent = "The mail catcher doesn't answer; trying again …";
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

watch();
