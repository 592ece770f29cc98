"use strict";
// Nothing here is needed to read or to act: it keeps what is shown fresh.

document.documentElement.classList.add("scripted");
