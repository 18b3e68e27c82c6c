#include "daemon/config_scan.h"

#include <errno.h>
#include <string.h>

enum place {
	PLACE_PLAIN,
	PLACE_DOUBLE,  /* inside "..." */
	PLACE_SINGLE,  /* inside '...' */
	PLACE_LINE,    /* inside a comment that ends with its line */
	PLACE_COMMENT, /* inside a comment that ends with a star and a slash */
};

/* What C begins outside of strings and comments; NEXT is the character behind it. */
static enum place
begins(char c, char next, const char **reason)
{
	switch (c) {
	case '"':
		return PLACE_DOUBLE;
	case '\'':
		return PLACE_SINGLE;
	case '#':
		return PLACE_LINE;
	case '/':
		if (next == '/')
			return PLACE_LINE;
		return next == '*' ? PLACE_COMMENT : PLACE_PLAIN;
	case '*':
		*reason = "a '*' must stand in quotes";
		return PLACE_PLAIN;
	case '+':
		if (next != '=')
			*reason = "a '+' must stand in quotes";
		return PLACE_PLAIN;
	case '$':
		if (next == '{')
			*reason = "variables are not replaced here";
		return PLACE_PLAIN;
	default:
		return PLACE_PLAIN;
	}
}

int
config_scan(const char *text, size_t length, unsigned *line, const char **reason)
{
	enum place place = PLACE_PLAIN;
	unsigned at = 1, begun = 1, opened = 1;
	int depth = 0; /* of braces */
	const char *wrong = NULL;

	for (size_t i = 0; i < length && wrong == NULL; i++) {
		char c = text[i], next = i + 1 < length ? text[i + 1] : '\0';

		if (c == '\n')
			at++;
		else if (((unsigned char)c < 0x20 && c != '\t' && !(c == '\r' && next == '\n')) ||
			 c == 0x7f)
			wrong = "a control character";
		switch (place) {
		case PLACE_PLAIN:
			place = begins(c, next, &wrong);
			begun = at;
			if (place == PLACE_COMMENT)
				i++;
			if (c == '{' && depth++ == 0)
				opened = at;
			else if (c == '}')
				depth--;
			break;
		case PLACE_DOUBLE:
			if (c == '$' && next == '{')
				wrong = "variables are not replaced here";
			/* fall through */
		case PLACE_SINGLE:
			if (c == '\\' && next != '\n' && i + 1 < length)
				i++;
			else if (c == (place == PLACE_DOUBLE ? '"' : '\''))
				place = PLACE_PLAIN;
			else if (c == '\n') {
				at = begun;
				wrong = "a string does not end on its line";
			}
			break;
		case PLACE_LINE:
			if (c == '\n')
				place = PLACE_PLAIN;
			break;
		case PLACE_COMMENT:
			if (c == '*' && next == '/') {
				place = PLACE_PLAIN;
				i++;
			}
			break;
		}
	}
	if (wrong == NULL && (place == PLACE_DOUBLE || place == PLACE_SINGLE)) {
		at = begun;
		wrong = "a string does not end";
	} else if (wrong == NULL && place == PLACE_COMMENT) {
		at = begun;
		wrong = "a comment does not end";
	} else if (wrong == NULL && depth > 0) {
		at = opened;
		wrong = "premature end of file: this '{' is not closed";
	}
	if (wrong == NULL)
		return 0;
	*line = at;
	*reason = wrong;
	return -EINVAL;
}
