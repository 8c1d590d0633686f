// Package top is the full-screen view of kumo top: what goes through a spool and what waits in it, refreshed while one
// looks. It is the only importer of bubbletea.
//
//  1. A Source is asked for a Look every interval, and for the messages of a queue while one is open. Only one
//     question is under way at a time: a slow disk makes the view older, never the list of questions longer.
//  2. Model keeps the last answers, the rates of the last looks, and where the user is. It takes messages (keys, sizes,
//     answers) and changes nothing else, so that tests drive it without a terminal.
//  3. View lays the model out for the size at hand: lines are dropped in the order of their worth until the rest fits,
//     and columns likewise. Nothing is ever wider or longer than the terminal.
//  4. Run connects the model with a terminal, and ends well when that goes away.
//
// Invariants:
//   - fits: no line is wider than the terminal, and there are no more lines than it has, whatever its size.
//   - tame: names, addresses and answers reach the terminal through cli.Tame only.
//   - harmless: nothing is open in the spool between two looks that could hold its owner up; that is the Source's
//     part.
//
// Not done here: reading a spool (the Source, in cmd/kumo), changing anything.
package top
