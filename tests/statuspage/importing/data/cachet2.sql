-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
/*!40101 SET NAMES utf8mb4 */;
DROP TABLE IF EXISTS `chq_component_groups`;
CREATE TABLE `chq_component_groups` (
  `id` int unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(255) NOT NULL,
  `created_at` timestamp NULL DEFAULT NULL,
  `updated_at` timestamp NULL DEFAULT NULL,
  `order` int NOT NULL DEFAULT '0',
  `collapsed` int unsigned NOT NULL DEFAULT '1',
  `visible` tinyint unsigned NOT NULL DEFAULT '1',
  PRIMARY KEY (`id`),
  KEY `component_groups_order_index` (`order`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4;
INSERT INTO `chq_component_groups` VALUES (1,'Platform','2026-02-01 00:00:00','2026-02-01 00:00:00',1,0,1),(2,'Back office','2026-02-01 00:00:00','2026-02-01 00:00:00',2,0,0);
INSERT INTO `chq_components` (`id`, `name`, `description`, `link`, `status`, `order`, `group_id`, `created_at`, `updated_at`, `deleted_at`, `enabled`) VALUES
(1,'Mail','Sends; and \'receives\' mail','',1,1,1,'2026-02-01 00:00:00','2026-02-01 00:00:00',NULL,1),
(2,'Search','','',1,2,0,'2026-02-01 00:00:00','2026-02-01 00:00:00',NULL,1),
(3,'Payroll','','',1,3,2,'2026-02-01 00:00:00','2026-02-01 00:00:00',NULL,1),
(4,'Fax','','',1,4,0,'2026-02-01 00:00:00','2026-02-01 00:00:00','2026-02-02 00:00:00',1);
CREATE TABLE `chq_incidents` (
  `id` int unsigned NOT NULL AUTO_INCREMENT,
  `user_id` int unsigned DEFAULT NULL,
  `component_id` int NOT NULL DEFAULT '0',
  `name` varchar(255) NOT NULL,
  `status` int NOT NULL,
  `visible` tinyint(1) NOT NULL DEFAULT '1',
  `stickied` tinyint(1) NOT NULL DEFAULT '0',
  `notifications` tinyint(1) NOT NULL DEFAULT '0',
  `message` longtext NOT NULL,
  `occurred_at` timestamp NULL DEFAULT NULL,
  `created_at` timestamp NULL DEFAULT NULL,
  `updated_at` timestamp NULL DEFAULT NULL,
  `deleted_at` timestamp NULL DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;
INSERT INTO `chq_incidents` VALUES (17,1,1,'Mail is late',4,1,0,1,'Mails wait; we look (why?).\nMore soon: it\'s the \"relay\".','2026-02-10 09:00:00','2026-02-10 09:05:00','2026-02-10 10:00:00',NULL),(18,1,0,'Short outage',4,1,0,1,'A switch was <b>restarted</b>.','2026-02-11 09:00:00','2026-02-11 09:00:00','2026-02-11 09:20:00',NULL),(19,1,0,'Seen by staff only',4,0,0,1,'Secret.','2026-02-12 09:00:00','2026-02-12 09:00:00','2026-02-12 09:20:00',NULL),(20,1,0,'Deleted',4,1,0,1,'Gone.','2026-02-12 09:00:00','2026-02-12 09:00:00','2026-02-12 09:20:00','2026-02-13 00:00:00'),(21,1,2,'Search is slow',2,1,0,1,'We know why.','2026-02-14 09:00:00','2026-02-14 09:00:00','2026-02-14 09:00:00',NULL),(22,1,0,'Odd',9,1,0,1,'What?','2026-02-14 09:00:00','2026-02-14 09:00:00','2026-02-14 09:00:00',NULL);
INSERT INTO `chq_incident_updates` (`id`, `incident_id`, `status`, `message`, `user_id`, `created_at`, `updated_at`) VALUES (1,17,3,'The relay is back.',1,'2026-02-10 09:40:00','2026-02-10 09:40:00'),(2,17,4,'All mails have left.\nINSERT INTO `chq_incidents` VALUES (99);',1,'2026-02-10 10:00:00','2026-02-10 10:00:00');
INSERT INTO `chq_incident_components` (`id`, `incident_id`, `component_id`, `status_id`, `created_at`, `updated_at`) VALUES (1,17,1,3,'2026-02-10 09:00:00','2026-02-10 09:00:00'),(2,17,3,4,'2026-02-10 09:00:00','2026-02-10 09:00:00');
INSERT INTO `chq_users` (`id`, `username`, `password`) VALUES (1,'admin','INSERT INTO `chq_incidents` VALUES (1);');
