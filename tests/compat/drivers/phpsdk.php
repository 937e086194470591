<?php
// SPDX-License-Identifier: Apache-2.0
// The official SDK volcengine-php-sdk, unmodified: signs, and throws ApiException.
foreach (explode(PATH_SEPARATOR, getenv('SIGFERRY_COMPAT_PHP')) as $file) {
    require_once $file;
}

use Volcengine\Common\ApiClient;
use Volcengine\Common\ApiException;
use Volcengine\Common\Configuration;
use Volcengine\Common\UniversalApi;
use Volcengine\Common\UniversalInfo;

error_reporting(E_ALL & ~E_DEPRECATED);
if ($argv[1] === 'version') {
    echo (new Configuration())->getUserAgent(), "\n";
    exit;
}
$op = json_decode($argv[1], true);
$types = ['form' => 'application/x-www-form-urlencoded', 'json' => 'application/json'];

$configuration = (new Configuration())->setAk($op['keys'][0])->setSk($op['keys'][1])
    ->setRegion($op['region'])->setSchema('http');
if ($op['host']) {
    $configuration->setHost($op['host']);
}
if ($op['timeout']) {
    $configuration->setReadTimeout($op['timeout']);
}
$api = new UniversalApi(new ApiClient($configuration));
$post = isset($types[$op['op']]);
$info = new UniversalInfo($post ? 'POST' : 'GET', $op['service'], $op['version'], $op['action'],
    $post ? $types[$op['op']] : 'text/plain');

$outcome = ['status' => 200, 'body' => '', 'error' => null];
try {
    if ($op['pages']) {
        for ($n = 1; $n <= $op['pages']; $n++) {
            if (!$api->doCall($info, ['Id' => $op['id'], 'PageNumber' => (string)$n])) {
                $outcome['status'] = 'not all';
            }
        }
    } else {
        $answer = $api->doCall($info, $post ? $op['data'] : ['Id' => $op['id']]);
        $outcome['body'] = json_encode(['Result' => $answer]);
    }
} catch (ApiException $e) {
    $cause = $e->getOriginalError();
    $outcome['status'] = $e->getStatusCode() ?: null;
    $outcome['body'] = is_string($e->getResponseBody()) ? $e->getResponseBody() : json_encode($e->getResponseBody());
    $outcome['error'] = [
        'type' => 'ApiException' . ($cause ? ' ' . basename(strtr(get_class($cause), '\\', '/')) : ''),
        'code' => $e->getErrorCode(),
        'message' => $e->getMessage(),
    ];
}
echo json_encode($outcome), "\n";
