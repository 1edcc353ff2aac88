# Gives Debian's loader the one default folder that a Nix loader has: its own package's lib.
#
# The loader holds its default folders as one block of NUL-terminated strings, and their lengths
# are compiled into its code. A store path is longer than any of them. So the first becomes
# /run/glibc/lib/, padded with slashes to its old length (every nixbox root has /run/glibc as a
# link to the glibc package), and the others become a folder that exists nowhere.
use strict;
use warnings;

my ($file) = @ARGV;
open(my $in, '<:raw', $file) or die "nixbox: $file: $!\n";
my $bytes = do { local $/; <$in> };
close $in;

sub padded {
    my ($start, $end, $length) = @_;
    my $slashes = $length - length($start) - length($end);
    die "nixbox: $start$end is longer than $length\n" if $slashes < 0;
    return $start . '/' x $slashes . $end;
}

my @old = ('/lib/x86_64-linux-gnu/', '/usr/lib/x86_64-linux-gnu/', '/lib/', '/usr/lib/');
my ($first, @rest) = map { length } @old;
my @new = (padded('/run/glibc', '/lib/', $first), map { padded('/-', '/', $_) } @rest);
my $block = join('', map { "$_\0" } @old);
my $wanted = join('', map { "$_\0" } @new);
$bytes =~ s/\Q$block\E/$wanted/g or die "nixbox: no block of default folders in $file\n";

# A Nix loader reads no cache of the host's: same length, and nothing there.
$bytes =~ s{/etc/ld\.so\.cache\0}{/run/no-ld.cache\0}g or die "nixbox: no cache path in $file\n";

open(my $out, '>:raw', "$file.new") or die "nixbox: $file.new: $!\n";
print {$out} $bytes;
close $out or die "nixbox: $file.new: $!\n";
chmod 0555, "$file.new";
rename("$file.new", $file) or die "nixbox: $file: $!\n";
