// All facts about the page, in one process, so that they share a browser and run one after the other.
import './list.test.js';
import './registration.test.js';
import './tokens.test.js';
import './outage.test.js';
import './views.test.js';
import './weight.test.js';
import './looks.test.js';
import './hand.test.js';
