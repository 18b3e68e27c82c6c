#include "daemon/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/value.h"

/* One flag; KEY is the configuration key that it sets, if it does no more. */
static const struct flag {
	char letter;
	const char *name, *argument, *key, *help;
} flags[] = {
	{'c', "config", "FILE", NULL, "configuration file (" SYSCONFDIR "/spillway/spillway.conf)"},
	{'d', "data-dir", "DIR", "data_dir",
	 "data directory, created if missing (" LOCALSTATEDIR "/lib/spillway)"},
	{'l', "listen", "ADDR:PORT", "listen",
	 "media listener, may repeat; port 0 picks one (0.0.0.0:3000 and [::]:3000)"},
	{'a', "admin", "ADDR:PORT", "admin", "admin listener; none turns it off (127.0.0.1:3001)"},
	{'w', "workers", "N", "workers", "event-loop threads (one per core)"},
	{'o', "option", "KEY=VALUE", NULL, "any key of the configuration file; wins over the file"},
	{'t', "test", NULL, NULL, "check configuration and data directory, then exit"},
	{'V', "version", NULL, NULL, "print the version, then exit"},
	{'h', "help", NULL, NULL, "print this, then exit"},
};

#define FLAGS (sizeof(flags) / sizeof(flags[0]))

static int
add_setting(struct command *command, const struct option_key *key, const char *value, char *why,
	    size_t why_size)
{
	struct setting *settings;
	int err = value_check(key, value, why, why_size);

	if (err != 0)
		return err;
	settings = realloc(command->settings, (command->count + 1) * sizeof(*settings));
	if (settings == NULL) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	command->settings = settings;
	settings[command->count++] = (struct setting){key, value};
	return 0;
}

/* KEY=VALUE. */
static int
add_option(struct command *command, const char *text, char *why, size_t why_size)
{
	const char *equals = strchr(text, '=');
	const struct option_key *key;
	char name[64];
	size_t length;

	if (equals == NULL || equals == text) {
		snprintf(why, why_size, "-o %s: not of the form KEY=VALUE", text);
		return -EINVAL;
	}
	length = (size_t)(equals - text);
	if (length >= sizeof(name))
		length = sizeof(name) - 1; /* longer than any key: not found */
	memcpy(name, text, length);
	name[length] = '\0';
	key = options_find(options_keys, name);
	if (key == NULL) {
		snprintf(why, why_size, "-o %s: no such key (spillway -h lists them)", text);
		return -EINVAL;
	}
	return add_setting(command, key, equals + 1, why, why_size);
}

static int
take_flag(struct command *command, const struct flag *flag, const char *argument, char *why,
	  size_t why_size)
{
	if (flag->key != NULL)
		return add_setting(command, options_find(options_keys, flag->key), argument, why,
				   why_size);
	if (flag->letter == 'o')
		return add_option(command, argument, why, why_size);
	if (flag->letter == 'c')
		command->file = argument;
	else if (flag->letter == 't')
		command->test = true;
	else if (flag->letter == 'V')
		command->version = true;
	else
		command->help = true;
	return 0;
}

int
command_parse(int argc, char *const *argv, struct command *command, char *why, size_t why_size)
{
	struct option longs[FLAGS + 1];
	char shorts[2 * FLAGS + 2], *s = shorts;
	int c, err = 0;

	memset(command, 0, sizeof(*command));
	memset(longs, 0, sizeof(longs));
	*s++ = ':'; /* getopt(3): say what is missing by ':' and print nothing */
	for (size_t i = 0; i < FLAGS; i++) {
		longs[i].name = flags[i].name;
		longs[i].has_arg = flags[i].argument != NULL ? required_argument : no_argument;
		longs[i].val = (unsigned char)flags[i].letter;
		*s++ = flags[i].letter;
		if (flags[i].argument != NULL)
			*s++ = ':';
	}
	*s = '\0';

	optind = 0; /* begin anew, also in tests */
	while (err == 0 && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct flag *flag = NULL;

		for (size_t i = 0; i < FLAGS; i++)
			if (flags[i].letter == c)
				flag = &flags[i];
		if (flag != NULL) {
			err = take_flag(command, flag, optarg, why, why_size);
			continue;
		}
		err = -EINVAL;
		if (c == ':')
			snprintf(why, why_size, "%s needs an argument", argv[optind - 1]);
		else if (optopt != 0 && strncmp(argv[optind - 1], "--", 2) != 0)
			snprintf(why, why_size, "unknown flag -%c (spillway -h lists them)",
				 optopt);
		else
			snprintf(why, why_size, "unknown flag %s (spillway -h lists them)",
				 argv[optind - 1]);
	}
	if (err == 0 && optind < argc) {
		snprintf(why, why_size, "unexpected argument '%s'", argv[optind]);
		err = -EINVAL;
	}
	if (err != 0)
		command_free(command);
	return err;
}

void
command_free(struct command *command)
{
	free(command->settings);
	memset(command, 0, sizeof(*command));
}

static void
print_keys(FILE *to, const struct option_key *keys)
{
	int width = 0;

	for (const struct option_key *key = keys; key->name != NULL; key++)
		width = (int)strlen(key->name) > width ? (int)strlen(key->name) : width;
	for (; keys->name != NULL; keys++) {
		fprintf(to, "  %-*s  %s", width, keys->name, keys->help);
		if (keys->initial != NULL)
			fprintf(to, " (%s)", keys->initial);
		fputc('\n', to);
	}
}

void
command_help(FILE *to)
{
	fputs("usage: spillway [-c FILE] [-d DIR] [-l ADDR:PORT]... [-a ADDR:PORT] [-w N]\n"
	      "                [-o KEY=VALUE]... [-t] [-V] [-h]\n\n"
	      "A live-video HTTP origin. Runs in the foreground and logs to standard error.\n\n",
	      to);
	for (size_t i = 0; i < FLAGS; i++) {
		char text[64];

		snprintf(text, sizeof(text), "--%s%s%s", flags[i].name,
			 flags[i].argument != NULL ? " " : "",
			 flags[i].argument != NULL ? flags[i].argument : "");
		fprintf(to, "  -%c, %-20s %s\n", flags[i].letter, text, flags[i].help);
	}
	fputs("\nkeys of the configuration file and of -o:\n", to);
	print_keys(to, options_keys);
	fputs("\nkeys of a rule, rule \"PATTERN\" { KEY = VALUE ... }, in the file:\n", to);
	print_keys(to, options_rule_keys);
}
