# SPDX-License-Identifier: Apache-2.0
# Perl's LWP: one connection, kept for a burst.
use strict;
use warnings;
use Encode qw(encode_utf8);
use HTTP::Request;
use JSON::PP;
use LWP::UserAgent;

my $op = decode_json($ARGV[0]);
my $agent = LWP::UserAgent->new(keep_alive => 1, timeout => $op->{timeout} // 20, env_proxy => 0);
$| = 1;

sub request {
    my ($url) = @_;
    my $r = HTTP::Request->new($op->{method}, $url);
    $r->header($_ => $op->{headers}{$_}) for keys %{$op->{headers}};
    $r->header('Content-Type' => $op->{type}) if defined $op->{type};
    $r->content(encode_utf8($op->{body})) if defined $op->{body};
    return $r;
}

if ($op->{op} eq 'stream') {
    my $r = $agent->request(request($op->{url}), sub { print $_[0] }, 1);
    exit($r->is_success ? 0 : 1);
}
my ($last, %statuses);
for my $url (@{$op->{urls} // [$op->{url}]}) {
    $last = $agent->request(request($url));
    $statuses{$last->code} = 1;
}
my $own = ($last->header('Client-Warning') // '') eq 'Internal response';
my $error;
$error = {type => 'is_error', message => $last->status_line} if $last->is_error;
$error->{type} = 'Client-Warning' if $own;
print JSON::PP->new->encode({
    status => $own ? undef : keys %statuses == 1 ? $last->code + 0 : [keys %statuses],
    body => $last->decoded_content // '',
    error => $error,
}), "\n";
