// Package jinja is the template language of log records: MiniJinja's, which KumoMTA has, on gonja, which speaks
// Jinja2. It is the only package that knows gonja.
//
//  1. Compile lexes the source, refuses what is not offered (files, unknown filters, tests and statements) with the
//     line, and rewrites every {{ expression }} so that its value is printed as MiniJinja prints it: true, none,
//     [1, "a"], not True, nothing, [1, 'a'].
//  2. Render runs it over a record's fields. What it prints is bounded and holds no control characters but those that
//     the template's own text has.
//
// Null fields are none: they print "none", are false, and have attributes that are undefined, which print nothing.
//
// Not done here: loading templates from files (include, import, extends), MiniJinja's normalize_smtp_response.
package jinja
