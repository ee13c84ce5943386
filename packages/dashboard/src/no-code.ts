/**
 * The page's policy lets nobody make code of texts, and browsers tell of whoever tries: schemas, which
 * would be faster so, are not to. They look at this when they are made, so it is imported first.
 */
import { config } from "zod";

config({ jitless: true });
